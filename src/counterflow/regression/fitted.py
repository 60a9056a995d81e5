"""The law of y under x as it was learned: densities, draws, distribution functions, quantiles; saved and loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import Continuous
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, PersistenceError, ShapeError
from counterflow.core.ode import AdaptiveSolver
from counterflow.core.random import make_generator
from counterflow.flows.ensemble import Ensemble
from counterflow.persistence import SavedFolder, join_parts, load_folder, save_folder
from counterflow.regression.density import EncodedDensity
from counterflow.regression.draws import common_draws
from counterflow.regression.methods import Method
from counterflow.regression.plain_methods import method_from_plain, method_to_plain
from counterflow.regression.readers import HorizonReader
from counterflow.regression.tree_reader import TreeReader
from counterflow.regression.univariate import distribution_function, quantile_points, quantiles
from counterflow.training import FitReport

__all__ = ["DensityRegression", "TargetUnits", "build_ensemble", "ready"]

_KIND = "density regression"
_POINTS_AT_ONCE = 100_000
_TIGHT = 1e-7


class TargetUnits(NamedTuple):
    """What targets are standardized by.

    Args:
        center: The mean of each target.
        scale: Its deviation; 1 for a constant.
    """

    center: Float[Tensor, " targets"]
    scale: Float[Tensor, " targets"]

    @classmethod
    def of(cls, y: Float[Tensor, "rows targets"], weights: Float[Tensor, " rows"] | None) -> "TargetUnits":
        """Learn them from rows."""
        share = torch.ones(len(y), 1, dtype=y.dtype) if weights is None else weights.unsqueeze(1)
        center = (share * y).sum(0) / share.sum()
        deviation = ((share * (y - center).square()).sum(0) / share.sum()).sqrt()
        tiny = 1e-12 * y.abs().amax(0).clamp(min=1e-300)
        return cls(center, torch.where(deviation > tiny, deviation, 1.0))

    def inward(self, y: Tensor) -> Tensor:
        """To standardized targets."""
        return (y - self.center) / self.scale

    def outward(self, z: Tensor) -> Tensor:
        """And back."""
        return self.center + self.scale * z


def build_ensemble(
    method: Method,
    reader: HorizonReader | TreeReader,
    targets: int,
    *,
    members: int,
    generator: torch.Generator | None = None,
) -> Ensemble:
    """Build the members of a method, with fresh weights.

    Args:
        method: What reads x, and the form of the density.
        reader: What rows are read by.
        targets: How many numbers a target has.
        members: How many densities.
        generator: Where weights are drawn from.
    """
    check_count(members, "members")
    generator = make_generator(generator)
    return Ensemble([_build(method, reader, targets, generator) for _ in range(members)])


def _build(method: Method, reader: HorizonReader | TreeReader, targets: int, generator: torch.Generator) -> nn.Module:
    net, length = reader.build(method, generator=generator)
    first = reader.first_layers(targets, length)
    return EncodedDensity(net, method.density.build(first, targets, context_features=length, generator=generator))


def ready(ensemble: Ensemble) -> Ensemble:
    """Make an ensemble ready to answer: frozen, in float64, its equations solved tightly."""
    for part in ensemble.modules():
        if isinstance(part, Continuous):
            part.solver = AdaptiveSolver(atol=_TIGHT, rtol=_TIGHT)
    return ensemble.double().eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class DensityRegression:
    r"""The law :math:`q(y \mid x)` that was learned, in the units of y.

    x is given as in training. Without ``horizon`` in training there is none here. What is computed carries gradients to
    x, where x asks for them; draws do not, but for :meth:`draws_alike`.

    Args:
        ensemble: The densities, of standardized targets.
        reader: What reads x.
        method: What they were built by.
        units: What targets are standardized by.
        reports: How each member was trained.
    """

    ensemble: Ensemble
    reader: HorizonReader | TreeReader
    method: Method
    units: TargetUnits
    reports: tuple[FitReport, ...] = ()

    @property
    def targets(self) -> int:
        """How many numbers a target has."""
        return len(self.units.center)

    def log_prob(
        self, y: Float[Tensor, "rows *targets"], x: Float[Tensor, "rows *shape"], *, horizon: Any = None
    ) -> Float[Tensor, " rows"]:
        """Compute the natural log-density of each target, per unit of y."""
        return self._log_density(self._targets(y, len(x)), self.read(x, horizon))

    def log_prob_many(
        self, y: Float[Tensor, "points targets"], x: Float[Tensor, "1 *shape"], *, horizon: Any = None
    ) -> Float[Tensor, " points"]:
        """Compute the log-density of many targets under one x."""
        return self.log_prob_each(y.unsqueeze(0), x, horizon=horizon)[0]

    def log_prob_each(
        self, y: Float[Tensor, "rows k targets"], x: Float[Tensor, "rows *shape"], *, horizon: Any = None
    ) -> Float[Tensor, "rows k"]:
        """Compute the log-density of k targets under each x, which is read once."""
        many = self.read(x, horizon).repeat_interleave(y.shape[1], 0)
        return self._log_density(y.double().flatten(0, 1), many).view(y.shape[:2])

    def sample(
        self,
        count: int,
        x: Float[Tensor, "rows *shape"],
        *,
        horizon: Any = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "rows count targets"]:
        """Draw targets for each row."""
        check_count(count, "count")
        return self.units.outward(self.ensemble.sample(count, self.read(x, horizon), generator=generator))

    def draws_alike(
        self, count: int, x: Float[Tensor, "rows *shape"], *, horizon: Any = None, seed: int = 0
    ) -> Float[Tensor, "rows count targets"]:
        """Draw targets from the same noise in every row: a row's draws do not depend on the rows beside it."""
        read = self.read(x, horizon)
        blank = torch.zeros(len(read), count)
        found = _in_pieces(lambda _, b: common_draws(self.ensemble, count, context=b, seed=seed), blank, read)
        return self.units.outward(found)

    def cdf(
        self, y: Float[Tensor, "rows *k"], x: Float[Tensor, "rows *shape"], *, horizon: Any = None
    ) -> Float[Tensor, "rows k"]:
        """Compute P(Y <= y | x) for one or several values in each row; for one target only, exactly."""
        self._check_one("the distribution function")
        y = torch.as_tensor(y).double()
        y = self.units.inward(y.unsqueeze(1) if y.dim() == 1 else y)
        read = self.read(x, horizon)
        return _in_pieces(lambda a, b: distribution_function(self.ensemble, a, context=b), y, read)

    def quantiles(
        self, levels: Any, x: Float[Tensor, "rows *shape"], *, horizon: Any = None
    ) -> Float[Tensor, "rows k"]:
        """Compute quantiles at k levels, the same in each row or of shape (rows, k); for one target only, exactly."""
        self._check_one("quantiles")
        levels = torch.as_tensor(levels, dtype=torch.float64)
        if not bool(((levels > 0) & (levels < 1)).all()):
            raise ArgumentError(f"levels must lie in (0, 1), got {levels.flatten().tolist()[:5]}. The median is 0.5.")
        read = self.read(x, horizon)
        levels = levels.expand(len(read), levels.shape[-1]) if levels.dim() < 2 else levels
        found = _in_pieces(lambda a, b: quantiles(self.ensemble, a, context=b), levels, read)
        return self.units.outward(found)

    def points(
        self, count: int, x: Float[Tensor, "rows *shape"], *, horizon: Any = None
    ) -> Float[Tensor, "rows points"]:
        """Give points that stand for the law of one target with equal weights, in order: a sample without noise."""
        self._check_one("points")
        read = self.read(x, horizon)
        blank = torch.zeros(len(read), count)
        found = _in_pieces(lambda _, b: quantile_points(self.ensemble, count, context=b), blank, read)
        return self.units.outward(found)

    def read(self, x: Float[Tensor, "rows *shape"], horizon: Any = None) -> Tensor:
        """Read x as in training."""
        x = torch.as_tensor(x).double()
        if isinstance(self.reader, TreeReader):
            return self.reader.read(x)
        return self.reader.read(x, None if horizon is None else torch.as_tensor(horizon).double())

    def save(self, folder: str | Path) -> Path:
        """Save to a folder of JSON and safetensors; no row is stored, and nothing is pickled.

        Raises:
            PersistenceError: The folder cannot be written.
        """
        config, tensors = self.to_parts()
        return save_folder(folder, _KIND, config=config, tensors=join_parts(tensors))

    @classmethod
    def load(cls, folder: str | Path, *, embedding: Callable[[], nn.Module] | None = None) -> "DensityRegression":
        """Load what :meth:`save` wrote.

        Args:
            folder: The folder.
            embedding: What built the embedding, if it was one of your own.

        Raises:
            PersistenceError: The folder is missing, damaged or of another kind, or an embedding of your own is not
                given.
        """
        saved = load_folder(folder, _KIND)
        return cls.from_parts(saved.config, saved, embedding=embedding)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """Plain settings and tensors, part by part."""
        reader, parts = self.reader.to_parts()
        config = {
            "method": method_to_plain(self.method),
            "trees": isinstance(self.reader, TreeReader),
            "reader": reader,
            "parts": list(parts),
            "members": len(self.ensemble.members),
        }
        return config, {"ensemble": dict(self.ensemble.state_dict()), "target": self.units._asdict(), **parts}

    @classmethod
    def from_parts(
        cls, config: dict[str, Any], saved: SavedFolder, *, embedding: Callable[[], nn.Module] | None = None
    ) -> "DensityRegression":
        """Read what :meth:`to_parts` gave, out of a folder."""
        method = method_from_plain(config["method"], embedding)
        if method is None:
            raise PersistenceError(
                "this folder was learned with an embedding of your own: pass the function that built it as embedding=."
            )
        form = TreeReader if config["trees"] else HorizonReader
        reader = form.from_parts(config["reader"], {name: saved.part(name) for name in config["parts"]})
        units = TargetUnits(**saved.part("target"))
        ensemble = ready(build_ensemble(method, reader, len(units.center), members=config["members"]))
        ensemble.load_state_dict(saved.part("ensemble"))
        return cls(ensemble, reader, method, units)

    def _log_density(self, y: Tensor, read: Tensor) -> Tensor:
        parts = zip(self.units.inward(y).split(10_000), read.split(10_000), strict=True)
        return torch.cat([self.ensemble(*part) for part in parts]) - self.units.scale.log().sum()

    def _targets(self, y: Any, rows: int) -> Tensor:
        y = torch.as_tensor(y).double()
        y = y.unsqueeze(1) if y.dim() == 1 else y
        if y.shape != (rows, self.targets):
            raise ShapeError(
                f"y must have shape ({rows}, {self.targets}), got {tuple(y.shape)}. One target for each row."
            )
        return y

    def _check_one(self, what: str) -> None:
        if self.targets != 1:
            raise ArgumentError(f"{what} must be of one target, and this law has {self.targets}. Use sample instead.")


def _in_pieces(function: Callable[[Tensor, Tensor], Tensor], values: Tensor, read: Tensor) -> Tensor:
    """Apply a function to some rows after the others, so that the memory holds them."""
    size = max(1, _POINTS_AT_ONCE // max(1, values.shape[1]))
    return torch.cat([function(*part) for part in zip(values.split(size), read.split(size), strict=True)])
