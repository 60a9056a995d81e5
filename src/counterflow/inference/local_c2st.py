"""A two-sample test of one posterior, at one observation, without a single draw of the true one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ShapeError
from counterflow.core.random import make_generator
from counterflow.inference.calibration import check_draws
from counterflow.metrics import ClassifierSettings, StackedClassifier, fit_stack

__all__ = ["LOCAL_SETTINGS", "LocalC2ST", "LocalTest", "fit_local_c2st"]

LOCAL_SETTINGS = ClassifierSettings(penalty=1.0, max_epochs=60)
"""Few epochs and a strong penalty: networks that learn their points by heart say nothing about others."""


@dataclass(frozen=True, eq=False)
class LocalTest:
    r"""What the classifiers say of one posterior.

    Args:
        statistic: The mean of :math:`(d(\theta, x_o) - 1/2)^2` over draws of the posterior.
        null_statistics: ``(nulls,)``, the same of classifiers trained as if the posterior were exact.
        probabilities: ``(count,)``, the chance that each draw is of the posterior and not of the truth: above one half
            the posterior has too much mass there.
    """

    statistic: float
    null_statistics: Float[Tensor, " nulls"]
    probabilities: Float[Tensor, " count"]

    @property
    def pvalue(self) -> float:
        """The chance of as large a statistic if the posterior is exact."""
        return (1 + int((self.null_statistics >= self.statistic).sum())) / (1 + len(self.null_statistics))


@dataclass(frozen=True, eq=False)
class LocalC2ST:
    """Classifiers between true parameters and draws of their posteriors, and those of the null hypothesis.

    Args:
        classifiers: The first tells truths from draws; the others were trained on labels swapped at random.
        center: Of parameters and data side by side.
        scale: Of the same.
    """

    classifiers: StackedClassifier
    center: Float[Tensor, " features"]
    scale: Float[Tensor, " features"]

    def test(self, draws: Float[Tensor, "count parameters"], observation: Float[Tensor, " data"]) -> LocalTest:
        """Test the posterior of one observation.

        Args:
            draws: Draws of that posterior; several hundred.
            observation: The observation, raw or embedded as the data of the training were.

        Raises:
            ShapeError: If parameters or data are not as many as in the training.
        """
        if draws.shape[1] + len(observation) != len(self.center):
            raise ShapeError(
                f"draws and observation must have {len(self.center)} numbers a row together, got {draws.shape[1]} and "
                f"{len(observation)}."
            )
        points = torch.cat([draws, observation.to(draws).expand(len(draws), -1)], 1)
        chances = self.classifiers.logits((points - self.center) / self.scale).sigmoid()
        statistics = (chances - 0.5).square().mean(1)
        return LocalTest(float(statistics[0]), statistics[1:], chances[0])


def fit_local_c2st(
    draws: Float[Tensor, "rows count parameters"],
    theta: Float[Tensor, "rows parameters"],
    *,
    x: Float[Tensor, "_ data"],
    nulls: int = 100,
    hidden: int = 32,
    settings: ClassifierSettings = LOCAL_SETTINGS,
    generator: torch.Generator | None = None,
) -> LocalC2ST:
    r"""Train classifiers between :math:`(\theta_i, x_i)` and :math:`(\theta_i^{(1)}, x_i)`, to test posteriors with.

    .. math:: T(x_o) = \mathbb{E}_{\theta \sim q(\theta \mid x_o)} \left[
        \left( d(\theta, x_o) - \tfrac12 \right)^2 \right]

    If the posterior is exact, truth and draw may be swapped in each row and nothing changes; so the statistic is ranked
    among those of classifiers trained after such swaps, and the p-value is exact. All are trained together
    (:func:`~counterflow.metrics.fit_stack`). A posterior that is the prior is seen, for the classifier sees the data.

    Args:
        draws: Draws of each posterior, of which the first is used.
        theta: The true parameters: draws of the prior.
        x: The data simulated from them, flat; embedded, if they are large.
        nulls: How many classifiers of the null hypothesis; the least p-value is :math:`1 / (1 + \mathrm{nulls})`.
        hidden: Units of each of their two hidden layers.
        settings: How they are trained.
        generator: Draws the swaps, the first weights and the batches.

    Returns:
        The classifiers, whose :meth:`~LocalC2ST.test` takes one posterior after the other.

    Raises:
        ShapeError: If the shapes do not fit together.

    Reference:
        Linhart, Gramfort, Rodrigues, "L-C2ST: Local Diagnostics for Posterior Approximations in Simulation-Based
        Inference", NeurIPS 2023, algorithms 1 and 2.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> theta = torch.randn(1000, 1, generator=g)
        >>> x = theta + torch.randn(1000, 1, generator=g)
        >>> prior = torch.randn(1000, 1, 1, generator=g)  # posteriors that learned nothing
        >>> found = fit_local_c2st(prior, theta, x=x, nulls=19, generator=g)
        >>> found.test(torch.randn(500, 1, generator=g), torch.tensor([1.5])).pvalue
        0.05
    """
    check_draws(draws, theta)
    check_count(nulls, "nulls")
    if len(x) != len(theta):
        raise ShapeError(f"x must have {len(theta)} rows, as theta has, got {len(x)}.")
    generator = make_generator(generator)
    points = torch.cat([torch.cat([theta, x.to(theta)], 1), torch.cat([draws[:, 0], x.to(theta)], 1)])
    center, scale = points.mean(0), points.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    swapped = torch.rand(nulls + 1, len(theta), generator=generator) < 0.5
    swapped[0] = False
    labels = torch.cat([swapped, ~swapped], 1).float()
    rows = torch.arange(len(points)).expand(nulls + 1, -1)
    stack = fit_stack(
        (points - center) / scale, labels, rows=rows, hidden=hidden, generator=generator, settings=settings
    )
    return LocalC2ST(stack, center, scale)
