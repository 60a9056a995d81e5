"""The torch modules that converted models are made of. All are frozen, float64 and act on (rows, columns)."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "AffineStage",
    "FunctionStage",
    "GaussianStage",
    "ImputeStage",
    "ParallelStages",
    "PolynomialStage",
    "PowerStage",
    "ValueCodeStage",
    "tensor64",
]


def tensor64(values: object) -> Tensor:
    """A float64 tensor with memory of its own."""
    return torch.tensor(np.asarray(values, dtype=np.float64))


class AffineStage(nn.Module):
    r"""A matrix product on the numeric inputs and table rows for the categories, summed.

    .. math:: y = (x_N - c) W + b + \sum_{j \in K} T_j[x_j]

    Where every output reads at most one number there is no matrix product but one factor per output: faster, and a
    missing number (NaN) stays in its column.

    Args:
        weight: (inputs, outputs); rows of zeros belong to inputs that are not read as numbers.
        bias: (outputs,).
        center: (inputs,), subtracted first: the mean of a scaler, so that large means cost no digits.
        tables: Per categorical input (by position) its table (categories, outputs).
    """

    numeric: Tensor
    weight: Tensor
    bias: Tensor
    center: Tensor
    coded: Tensor
    starts: Tensor
    table: Tensor

    def __init__(self, weight: np.ndarray, bias: np.ndarray, center: np.ndarray, tables: dict[int, np.ndarray]) -> None:
        super().__init__()
        reads = weight != 0
        self.columnwise = bool((reads.sum(axis=0) <= 1).all())
        numeric = reads.argmax(axis=0) if self.columnwise else np.flatnonzero(reads.any(axis=1))
        sizes = [len(table) for table in tables.values()]
        self.reads_all = np.array_equal(numeric, np.arange(len(weight)))
        self.register_buffer("numeric", torch.tensor(numeric, dtype=torch.long))
        self.register_buffer("weight", tensor64(weight.sum(axis=0) if self.columnwise else weight[numeric]))
        self.register_buffer("bias", tensor64(bias))
        self.register_buffer("center", tensor64(center[numeric]))
        self.centered = bool(center[numeric].any())
        self.register_buffer("coded", torch.tensor(list(tables), dtype=torch.long))
        self.register_buffer("starts", torch.tensor(np.cumsum([0, *sizes])[:-1], dtype=torch.long))
        self.register_buffer("table", tensor64(np.concatenate([*tables.values(), np.zeros((0, len(bias)))])))

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Apply the map."""
        values = numbers if self.reads_all else numbers.index_select(-1, self.numeric)
        values = values - self.center if self.centered else values
        if self.columnwise:
            product = values * self.weight
            result = torch.where(self.weight == 0, 0.0, product) + self.bias
        else:
            result = torch.addmm(self.bias, values, self.weight)
        if len(self.coded):
            codes = numbers.detach().index_select(-1, self.coded).round().long() + self.starts
            result = result + F.embedding_bag(codes, self.table, mode="sum")
        return result


class FunctionStage(nn.Module):
    """An elementwise (or row-wise) function without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Apply the function."""
        return self.function(numbers)


class ParallelStages(nn.Module):
    """Several branches on the same input, side by side."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Run every branch and join the columns."""
        return torch.cat([branch(numbers) for branch in self.branches], dim=-1)


class ImputeStage(nn.Module):
    """Put a constant where a number is missing (NaN); such an entry has no gradient."""

    fill: Tensor

    def __init__(self, fill: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("fill", tensor64(fill))

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Fill the missing entries."""
        return torch.where(numbers.isnan(), self.fill, numbers)


class ValueCodeStage(nn.Module):
    """Replace numbers that are used as categories by their codes; a number of no category gets the code K."""

    def __init__(self, values: dict[int, np.ndarray]) -> None:
        super().__init__()
        self.positions = list(values)
        for position, known in values.items():
            self.register_buffer(f"values_{position}", tensor64(known))

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Look every number up among the known values."""
        columns = list(numbers.unbind(-1))
        for position in self.positions:
            known = self.get_buffer(f"values_{position}")
            values = numbers[:, position, None]
            equal = (values == known) | (values.isnan() & known.isnan())
            code = torch.where(equal.any(-1), equal.int().argmax(-1), len(known))
            columns[position] = code.to(numbers.dtype)
        return torch.stack(columns, dim=-1)


class PolynomialStage(nn.Module):
    r"""Monomials :math:`\prod_j x_j^{a_{kj}}`, as products so that gradients at zero are finite.

    Args:
        powers: (outputs, inputs), whole exponents.
    """

    factors: Tensor

    def __init__(self, powers: np.ndarray) -> None:
        super().__init__()
        degree, inputs = int(powers.sum(axis=1).max(initial=0)), powers.shape[1]
        factors = np.full((len(powers), max(degree, 1)), inputs)  # the column after the last holds ones
        for row, exponents in zip(factors, powers, strict=True):
            repeated = np.repeat(np.arange(inputs), exponents)
            row[: len(repeated)] = repeated
        self.register_buffer("factors", torch.tensor(factors, dtype=torch.long))

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Multiply the factors of each monomial."""
        extended = F.pad(numbers, (0, 1), value=1.0)
        result = extended.index_select(-1, self.factors[:, 0])
        for place in range(1, self.factors.shape[1]):
            result = result * extended.index_select(-1, self.factors[:, place])
        return result


class PowerStage(nn.Module):
    r"""The Yeo-Johnson or Box-Cox transformation, one exponent per column.

    Args:
        exponents: (inputs,), the lambdas.
        box_cox: Whether it is Box-Cox (positive inputs only); otherwise Yeo-Johnson.

    Reference:
        Yeo and Johnson, A new family of power transformations, Biometrika 87, 2000, equation (2.1).
    """

    exponents: Tensor

    def __init__(self, exponents: np.ndarray, *, box_cox: bool) -> None:
        super().__init__()
        self.box_cox = box_cox
        self.register_buffer("exponents", tensor64(exponents))

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Transform every column."""
        if self.box_cox:
            return _power(numbers.log(), self.exponents)
        above, below = numbers.clamp(min=0.0), (-numbers).clamp(min=0.0)  # clamp first, then select: safe gradients
        positive = _power(above.log1p(), self.exponents)
        negative = -_power(below.log1p(), 2.0 - self.exponents)
        return torch.where(numbers >= 0, positive, negative)


def _power(logarithm: Tensor, exponent: Tensor) -> Tensor:
    """(u^a - 1) / a from log u, and log u where a is zero."""
    zero = exponent.abs() < torch.finfo(exponent.dtype).eps
    safe = torch.where(zero, 1.0, exponent)
    return torch.where(zero, logarithm, torch.expm1(logarithm * safe) / safe)


class GaussianStage(nn.Module):
    r"""The joint log-likelihood of naive Bayes with normal features.

    .. math:: y_k = \log \pi_k - \tfrac12 \sum_j \log 2\pi\sigma_{kj}^2 + (x_j - \mu_{kj})^2 / \sigma_{kj}^2

    Args:
        means: (classes, inputs).
        variances: (classes, inputs), positive.
        prior: (classes,), positive.
    """

    means: Tensor
    variances: Tensor
    constant: Tensor

    def __init__(self, means: np.ndarray, variances: np.ndarray, prior: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("means", tensor64(means))
        self.register_buffer("variances", tensor64(variances))
        self.register_buffer("constant", tensor64(np.log(prior) - 0.5 * np.log(2.0 * math.pi * variances).sum(axis=1)))

    def forward(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The log-likelihood of every class."""
        squares = (numbers[:, None, :] - self.means).square() / self.variances
        return self.constant - 0.5 * squares.sum(-1)
