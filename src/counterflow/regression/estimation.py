"""Learning p(y | x): readers and members are built as the method says, and trained by maximum likelihood."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_finite
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.core.random import make_generator
from counterflow.regression.fitted import DensityRegression, TargetUnits, build_ensemble, ready
from counterflow.regression.leaves import Trees, as_leaf_model
from counterflow.regression.methods import Method, TreeFlow, make_method
from counterflow.regression.readers import HorizonReader
from counterflow.regression.tree_reader import TreeReader, fit_tree_reader
from counterflow.training import fit
from counterflow.training.batches import Augment

__all__ = ["fit_regression", "usual_batch_size"]

_FEWEST_ROWS = 4


def fit_regression(
    x: Float[Tensor, "rows *shape"],
    y: Float[Tensor, "*_"],
    *,
    method: Method | str = "spline",
    horizon: Float[Tensor, " rows"] | None = None,
    levels: tuple[int, ...] | None = None,
    noise: float | str | Sequence[float | str] = 0.0,
    members: int = 3,
    weights: Float[Tensor, " rows"] | None = None,
    validation: float = 0.1,
    max_epochs: int = 150,
    patience: int = 25,
    batch_size: int | None = None,
    learning_rate: float = 5e-3,
    weight_decay: float = 1e-4,
    device: str = "auto",
    time_limit: float | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> DensityRegression:
    r"""Learn the law of y under x by maximum likelihood.

    .. math:: \max_\theta \; \sum_i \log q_\theta(y_i \mid x_i)

    Members differ in their weights and in the rows they hold out to stop early; their even mixture is the answer.

    Args:
        x: What is known, of any shape that the method's embedding reads; rows of numbers for trees. NaN is missing.
        y: Targets, one number or several for each row.
        method: A :class:`ConditionalFlow`, :class:`RegFlow` or :class:`TreeFlow`, or a name.
        horizon: How long after x each target lies, above zero; the law can then be asked for any horizon.
        levels: For trees, how many categories each column has, coded 0, 1, ...; 0 for numbers; ``None``: all numbers.
        noise: The deviation of normal noise that is added to y anew in each batch, in units of y: a smoother law. Or
            ``"cell"``: whole numbers are spread evenly over their unit cells, [y - 1/2, y + 1/2). Or one of these for
            each target.
        members: How many densities are trained and averaged.
        weights: How much each row counts; only ratios matter.
        validation: The share of rows held out to stop early, in [0, 1).
        max_epochs: The most passes over the rows.
        patience: Stop after this many epochs without a better held-out density.
        batch_size: The most rows of a batch; ``None`` for a tenth of them, from 32 to 128,
            and more where an epoch would have more than 200 batches.
        learning_rate: Adam's step size at the start; it falls along a cosine.
        weight_decay: The decay rate of AdamW.
        device: Where to train; the answer computes on the CPU in float64.
        time_limit: Seconds after which the training of each member stops.
        generator: Where randomness comes from.
        progress: Show a progress bar on an interactive terminal.

    Returns:
        The fitted law of y for any x.

    Raises:
        ShapeError: x, y and horizon differ in their number of rows, or x is not what the method reads.
        DataError: There are too few rows, or targets so large that they have no variance.
        ArgumentError: A value is not finite, or a setting is out of its range.

    Reference:
        Zieba et al., "RegFlow", 2020, equation 4; Wielopolski, Zieba, "TreeFlow", 2023, equation 5.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.rand(400, 1, generator=generator)
        >>> y = 10 * x[:, 0] + torch.randn(400, generator=generator)
        >>> law = fit_regression(x, y, method="gaussian", members=1, max_epochs=40, generator=generator)
        >>> bool((law.quantiles([0.5], torch.tensor([[0.5]])) - 5).abs() < 1)
        True
    """
    method, generator = make_method(method), make_generator(generator)
    x, y = torch.as_tensor(x).double(), _checked_targets(y, len(x))
    weights = None if weights is None else torch.as_tensor(weights).double()
    units = TargetUnits.of(y, weights)
    z = units.inward(y)
    if isinstance(method, TreeFlow):
        if horizon is not None:
            raise ArgumentError("horizon does not go with a TreeFlow. Make it a column of x.")
        reader, context = _read_trees(method, x, z, levels=levels, weights=weights, generator=generator)
    else:
        reader = HorizonReader.of(x, horizon)
        context = reader.read(x, horizon)
    ensemble = build_ensemble(method, reader, y.shape[1], members=members, generator=generator)
    train = partial(
        fit,
        context=context,
        weights=weights,
        validation=validation,
        max_epochs=max_epochs,
        patience=patience,
        batch_size=batch_size or usual_batch_size(len(y)),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        device=device,
        compile=False,
        generator=generator,
        time_limit=time_limit,
        augment=_augment([noise] * y.shape[1] if isinstance(noise, str | float | int) else noise, units),
        progress=progress,
    )
    reports = tuple(train(member, z) for member in ensemble.members)
    return DensityRegression(ready(ensemble), reader, method, units, reports)


def usual_batch_size(rows: int) -> int:
    """A tenth of the rows, from 32 to 128, and more where an epoch would have more than 200 batches.

    Example:
        >>> usual_batch_size(100), usual_batch_size(1000), usual_batch_size(100_000)
        (32, 100, 500)
    """
    return max(32, min(128, rows // 10), rows // 200)


def _checked_targets(y: Tensor, rows: int) -> Tensor:
    y = torch.as_tensor(y).double()
    y = y.unsqueeze(1) if y.dim() == 1 else y
    if y.dim() != 2 or len(y) != rows:
        raise ShapeError(
            f"y must have one number or one row of numbers for each of the {rows} rows of x, got shape "
            f"{tuple(y.shape)}."
        )
    if rows < _FEWEST_ROWS:
        raise DataError(f"x must have at least {_FEWEST_ROWS} rows, got {rows}. Collect more data.")
    check_finite(y, "y")
    if not bool((y - y.mean(0)).square().sum().isfinite()):
        raise DataError(f"y must have squares that are finite, got {y.abs().max():.3g}. Give it in larger units.")
    return y


def _read_trees(
    method: TreeFlow,
    x: Tensor,
    z: Tensor,
    *,
    levels: tuple[int, ...] | None,
    weights: Tensor | None,
    generator: torch.Generator,
) -> tuple[TreeReader, Tensor]:
    if x.dim() != 2:
        raise ShapeError(f"a TreeFlow reads rows of numbers, got x of shape {tuple(x.shape)}. Flatten the rows.")
    levels = (0,) * x.shape[1] if levels is None else levels
    categorical = tuple(i for i, count in enumerate(levels) if count)
    own = isinstance(method.trees, Trees)
    return fit_tree_reader(
        x.numpy(),
        z.numpy(),
        leaves=method.trees if own else as_leaf_model(method.trees, columns=x.shape[1], categorical=categorical),
        location=method.location,
        folds=method.folds,
        levels=levels,
        weights=None if weights is None else weights.numpy(),
        generator=generator,
    )


def _augment(noise: Sequence[float | str], units: TargetUnits) -> Augment | None:
    """Noise in the space of standardized targets.

    Raises:
        ArgumentError: It is below zero, another word than ``"cell"``, or not one for each target.
    """
    fine = [each == "cell" or (isinstance(each, int | float) and each >= 0) for each in noise]
    if not all(fine) or len(noise) != len(units.scale):
        raise ArgumentError(
            f"noise must be a deviation of at least 0 or 'cell', or one of these for each of the {len(units.scale)} "
            f"targets, got {list(noise)!r}. Use 0 for none."
        )
    if not any(noise):
        return None
    cell = torch.tensor([each == "cell" for each in noise])
    deviation = torch.tensor([0.0 if each == "cell" else float(each) for each in noise])

    def shake(z: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        of: dict[str, Any] = {"dtype": z.dtype, "device": z.device, "generator": generator}
        jitter = torch.zeros_like(z)
        if bool(deviation.any()):
            jitter = deviation.to(z) * torch.randn(z.shape, **of)
        if bool(cell.any()):
            jitter = torch.where(cell.to(z.device), torch.rand(z.shape, **of) - 0.5, jitter)
        return z + jitter / units.scale.to(z), 0.0

    return shake
