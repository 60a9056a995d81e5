"""A table's numbers as points of R^D for a flow, with the density of a row kept exactly."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ShapeError
from counterflow.core.numerics import log_mean_exp, normal_log_prob
from counterflow.tables.encoding_fit import fit_encoding
from counterflow.tables.grid import Grid
from counterflow.tables.schema import Schema

__all__ = ["FlowEncoding"]

NOISE_MARGIN = 1e-6  # noise stays this far inside (0, 1), so that no value touches the edge of its cell
LARGEST_ASINH = 60.0  # beyond it sinh leaves the range of numbers that tables hold
DRAWS = 16


class FlowEncoding(nn.Module):
    r"""Maps the numbers of a table to R^D, where a flow lives, and back.

    Discrete values have no density, so each is spread over a cell of its own by uniform noise :math:`r \in (0,1)^D`
    (dequantization). With :math:`(u, w) =` ``encode(x, r)`` and a flow with density q,

    .. math:: p(x) = \mathbb{E}_r \left[ \exp(\log q(u) + w) \right]

    is the density of the row x: with respect to lengths in the data's own units for continuous columns, and to counting
    for all others. The coordinates are

    - a continuous number: :math:`z = T(v)`, standardized, through asinh where the tails are heavy; w is log T'(v);
    - an integer or ordinal: :math:`z = T(v + s (r - \tfrac12))` for the step s; w is log s + log T';
    - a category with frequency f: a cell of that width in [0, 1], and :math:`z = \Phi^{-1}`; w is log f - log φ(z);
    - a column with atoms: such a cell for "a number" and for each atom, and a coordinate for the number. At an atom
      that coordinate is noise, :math:`z = \Phi^{-1}(r)` with w = -log φ(z). Columns whose codes coincide in all
      training rows share the cell; a row that breaks what they share has density zero, w = -inf, and so has an atom
      never seen;
    - a constant column has no coordinate; another value has density zero.

    Build it with :meth:`fit`, or with :meth:`from_config` from ``config`` and ``state_dict()`` of another one. It works
    in float32 and float64, but only float64 gives every value back exactly (a continuous one to 15 digits).

    Args:
        schema: The columns.
        tensors: What :meth:`fit` measured.

    Example:
        >>> from counterflow.tables import Column
        >>> schema = Schema((Column("age", "integer"), Column("home", "binary", categories=("own", "rent"))))
        >>> encoding = FlowEncoding.fit(schema, np.array([[20.0, 0.0], [30.0, 1.0], [45.0, 1.0]]))
        >>> numbers = torch.tensor([[31.0, 1.0]], dtype=torch.float64)
        >>> u, log_weight = encoding.encode(numbers, encoding.center_noise)
        >>> u.shape, encoding.decode(u).tolist()
        (torch.Size([1, 2]), [[31.0, 1.0]])
    """

    def __init__(self, schema: Schema, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.schema = schema
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.clone())
        self.grid = Grid(schema)
        dims = torch.cat([self._t("value_dim"), self._t("cell_dim"), self._t("code_dim")])
        self.dimension = len(dims)
        self.register_buffer("_order", torch.argsort(dims), persistent=False)
        members = [int((self._t("atom_group") == group).nonzero()[0]) for group in range(len(self._t("code_dim")))]
        self.register_buffer("_first_member", torch.tensor(members, dtype=torch.long), persistent=False)

    def _t(self, name: str, like: Tensor | None = None) -> Tensor:
        """A buffer, as precise as ``like`` if it holds numbers."""
        tensor: Tensor = getattr(self, name)
        return tensor.to(like.dtype) if like is not None and tensor.is_floating_point() else tensor

    @classmethod
    def fit(
        cls, schema: Schema, numbers: np.ndarray | Tensor, *, score: np.ndarray | Tensor | None = None
    ) -> "FlowEncoding":
        """Measure centers, scales, frequencies and shared codes.

        Args:
            schema: The columns.
            numbers: Training rows, (rows, columns), as :class:`TableCodec` gives them.
            score: One number per row, such as its label: categories are then ordered by their mean score, so that
                neighbors on the line are alike. By default they keep the order of the schema.

        Returns:
            The encoding.

        Raises:
            DataError: A column that could be changed is constant, or there are no rows.
        """
        rows = torch.as_tensor(numbers, dtype=torch.float64).cpu().numpy()
        scores = None if score is None else torch.as_tensor(score, dtype=torch.float64).cpu().numpy()
        return cls(schema, fit_encoding(schema, rows, scores))

    @property
    def config(self) -> dict[str, Any]:
        """Plain data from which, with ``state_dict()``, :meth:`from_config` builds it again."""
        return {"schema": self.schema.to_dict()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "FlowEncoding":
        """Build an encoding from its ``config`` and its ``state_dict()``."""
        return cls(Schema.from_dict(config["schema"]), tensors)

    @property
    def discrete(self) -> bool:
        """Whether noise matters at all: if not, one draw gives the density."""
        return bool(self._t("cell_dim").numel() or self._t("code_dim").numel() or (self._t("value_step") > 0).any())

    @property
    def center_noise(self) -> Tensor:
        """The noise in the middle of all cells, (D,): the one draw that needs no averaging."""
        return torch.full((self.dimension,), 0.5, dtype=torch.float64, device=self._t("spread").device)

    @property
    def distance_scale(self) -> Float[Tensor, " columns"]:
        """For each numeric column the standard deviation of its training values that are no atoms; 1 for others."""
        return self._t("spread")

    def dimensions_of(self, name: str) -> tuple[int, ...]:
        """The coordinates of u in which a column lives: none if constant, two if it has atoms, else one."""
        position = self.schema.index(name)
        value = self._t("value_dim")[self._t("value_column") == position]
        cell = self._t("cell_dim")[self._t("cell_column") == position]
        code = self._t("code_dim")[self._t("atom_group")[self._t("atom_column") == position]]
        return tuple(torch.cat([code, cell, value]).tolist())

    def fixed_noise(self, draws: int, seed: int = 0) -> Float[Tensor, "draws 1 dimension"]:
        """One set of noise for all rows: scrambled Sobol points; the center alone if one draw is asked or enough."""
        if draws == 1 or not self.discrete:
            return self.center_noise.expand(1, 1, -1)
        points = torch.quasirandom.SobolEngine(self.dimension, scramble=True, seed=seed).draw(
            draws, dtype=torch.float64
        )
        return points.unsqueeze(1).to(self._t("spread").device)

    def encode(
        self, numbers: Float[Tensor, "*rows columns"], noise: Float[Tensor, "*draws dimension"]
    ) -> tuple[Float[Tensor, "*lead dimension"], Float[Tensor, "*lead"]]:
        """Map rows to points, with the logarithm of the weight that makes densities right.

        Args:
            numbers: Rows as :class:`TableCodec` gives them; leading dimensions broadcast with those of ``noise``.
            noise: Numbers in (0, 1): fresh for training, one fixed set for comparing rows.

        Returns:
            ``(u, log_weight)``, in the dtype of ``numbers``; differentiable in its numeric columns.

        Raises:
            ShapeError: A last dimension is wrong.
        """
        self._check_last(numbers, len(self.schema), "numbers")
        self._check_last(noise, self.dimension, "noise")
        lead = torch.broadcast_shapes(numbers.shape[:-1], noise.shape[:-1])
        x = numbers.expand(*lead, -1)
        r = noise.to(x.dtype).clamp(NOISE_MARGIN, 1 - NOISE_MARGIN).expand(*lead, -1)
        codes = self._codes(x)
        category = x[..., self._t("cell_column")].nan_to_num(0.0).long()
        parts = [
            self._encode_values(x, codes, r[..., self._t("value_dim")]),
            self._into_cells("cell", category, r[..., self._t("cell_dim")]),
            self._into_cells("code", codes[..., self._t("_first_member")], r[..., self._t("code_dim")]),
        ]
        u = torch.cat([z for z, _ in parts], -1)[..., self._t("_order")]
        log_weight = torch.cat([weight for _, weight in parts], -1).sum(-1)
        return u, torch.where(self._impossible(x, codes), -torch.inf, log_weight)

    def dequantize(
        self, numbers: Float[Tensor, "*rows columns"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*rows dimension"], Float[Tensor, "*rows"]]:
        """:meth:`encode` with fresh noise for every row."""
        shape = (*numbers.shape[:-1], self.dimension)
        noise = torch.rand(shape, generator=generator, dtype=numbers.dtype, device=numbers.device)
        return self.encode(numbers, noise)

    def decode(self, u: Float[Tensor, "*rows dimension"]) -> Float[Tensor, "*rows columns"]:
        """Map points to rows that a table can hold: cells to categories and atoms, numbers to their grid and bounds.

        Args:
            u: Points, such as samples of a flow.

        Returns:
            The numbers of the nearest rows: ``decode(encode(x, r)[0])`` is x for every noise r.

        Raises:
            ShapeError: The last dimension is wrong.
        """
        self._check_last(u, self.dimension, "u")
        spread = self._t("spread", u)
        numbers = spread.new_zeros(*u.shape[:-1], len(self.schema))
        numbers[..., self._t("cell_column")] = self._out_of_cells("cell", u).to(u.dtype)
        numbers[..., self._t("constant_column")] = self._t("constant_value", u)
        numbers[..., self._t("value_column")] = self._decode_values(u)
        numbers = self._within_bounds(self.grid.snap(numbers))
        cell = self._out_of_cells("code", u)[..., self._t("atom_group")]
        table = self._t("atom_value", u)
        atom = table[torch.arange(len(table), device=u.device), (cell - 1).clamp(min=0)]
        columns = self._t("atom_column")
        numbers[..., columns] = torch.where(cell > 0, atom, numbers[..., columns])
        return numbers

    def log_density(
        self,
        flow: Callable[[Tensor, Tensor | None], Tensor],
        numbers: Float[Tensor, "rows columns"],
        *,
        context: Float[Tensor, "rows context"] | None = None,
        noise: Float[Tensor, "draws 1 dimension"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Log-density of rows under a flow, in the data's own units: the log-mean-exp over one set of noise.

        Args:
            flow: Any ``flow(u, context)`` that gives log-densities, (points,).
            numbers: The rows.
            context: One context per row, for a conditional flow.
            noise: The draws; 16 fixed ones by default. The same for all rows, so that rows compare.

        Returns:
            One number per row in nats; -inf for a row that breaks what all training rows share.
        """
        draws = self.fixed_noise(DRAWS) if noise is None else noise
        u, log_weight = self.encode(numbers, draws)
        points = u.reshape(-1, self.dimension).to(_dtype_of(flow, u.dtype))
        repeated = None if context is None else context.repeat(len(u), 1)
        return log_mean_exp(flow(points, repeated).reshape(log_weight.shape) + log_weight, 0)

    def _check_last(self, x: Tensor, size: int, name: str) -> None:
        if x.ndim == 0 or x.shape[-1] != size:
            raise ShapeError(f"{name} must have shape (..., {size}), got {tuple(x.shape)}.")

    def _codes(self, x: Tensor) -> Tensor:
        """For each column with atoms 0 if its entry is a number, k if it is the k-th atom."""
        values, table = x[..., self._t("atom_column")].unsqueeze(-1), self._t("atom_value", x)
        same = (values == table) | (values.isnan() & table.isnan())
        return (same * torch.arange(1, table.shape[-1] + 1, device=x.device)).sum(-1)

    def _encode_values(self, x: Tensor, codes: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        raw = x[..., self._t("value_column")]
        padded = torch.cat([codes, torch.zeros_like(codes[..., :1])], -1) if codes.shape[-1] else None
        at_atom = torch.zeros_like(raw, dtype=torch.bool) if padded is None else padded[..., self._t("value_atom")] > 0
        center, scale, step = (self._t(f"value_{name}", x) for name in ("center", "scale", "step"))
        t = (torch.where(at_atom | raw.isnan(), center, raw) + step * (r - 0.5) - center) / scale
        heavy = self._t("value_heavy")
        z = (torch.where(heavy, torch.asinh(t), t) - self._t("value_mean", x)) / self._t("value_std", x)
        slope = -(scale * self._t("value_std", x)).log() - torch.where(heavy, 0.5 * torch.log1p(t.square()), 0.0)
        weight = slope + torch.where(step > 0, step, 1.0).log()
        filler = torch.special.ndtri(r)
        return torch.where(at_atom, filler, z), torch.where(at_atom, -normal_log_prob(filler), weight)

    def _into_cells(self, name: str, index: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        edges, widths = self._t(f"{name}_edge", r), self._t(f"{name}_width", r)
        rows, inside = torch.arange(len(edges), device=r.device), index.clamp(0, edges.shape[-1] - 1)
        edge, width = edges[rows, inside], widths[rows, inside]
        tiny = torch.finfo(r.dtype).eps
        z = torch.special.ndtri((edge + width * r).clamp(tiny, 1 - tiny))
        return z, width.log() - normal_log_prob(z)

    def _out_of_cells(self, name: str, u: Tensor) -> Tensor:
        """The cell that each point lies in: the last one whose left edge is not to the right of it."""
        w = torch.special.ndtr(u[..., self._t(f"{name}_dim")]).unsqueeze(-1)
        edges = self._t(f"{name}_edge", u)
        return torch.where(edges <= w, edges, -1.0).argmax(-1)

    def _decode_values(self, u: Tensor) -> Tensor:
        z = u[..., self._t("value_dim")] * self._t("value_std", u) + self._t("value_mean", u)
        t = torch.where(self._t("value_heavy"), torch.sinh(z.clamp(-LARGEST_ASINH, LARGEST_ASINH)), z)
        return t * self._t("value_scale", u) + self._t("value_center", u)

    def _within_bounds(self, numbers: Tensor) -> Tensor:
        columns = self._t("value_column")
        values = numbers[..., columns]
        numbers[..., columns] = values.clamp(self._t("value_lower", numbers), self._t("value_upper", numbers))
        return numbers

    def _impossible(self, x: Tensor, codes: Tensor) -> Tensor:
        """Which rows break what all training rows share: a pattern of codes, an atom never seen, a constant."""
        shared = codes[..., self._t("_first_member")][..., self._t("atom_group")]
        new, unseen = x[..., self._t("unseen_column")], self._t("unseen_value", x)
        kept, constant = x[..., self._t("constant_column")], self._t("constant_value", x)
        return (
            (codes != shared).any(-1)
            | ((new == unseen) | (new.isnan() & unseen.isnan())).any(-1)
            | ((kept != constant) & ~(kept.isnan() & constant.isnan())).any(-1)
        )


def _dtype_of(flow: Any, default: torch.dtype) -> torch.dtype:
    parameters = flow.parameters() if isinstance(flow, nn.Module) else iter(())
    return next((parameter.dtype for parameter in parameters), default)
