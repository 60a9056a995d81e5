"""Expected coverage: how often regions that hold a share of a posterior hold the truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.inference.calibration import check_draws, rank_among
from counterflow.inference.uniformity import Uniformity, pvalue_text

__all__ = ["Coverage", "highest_density_coverage", "tarp"]

_BALLS, _DENSEST = "balls around reference points", "regions of highest density"
_WAYS = {
    _BALLS: {
        "too high": "the truth is too far from the reference points: the posterior is shifted",
        "too low": "the truth is too near to the reference points: the posterior is shifted, or too wide",
        "too often at the ends": "the truth is too often nearest or farthest: the posterior is too narrow",
        "too often in the middle": "the truth is too seldom nearest or farthest: the posterior is too wide",
    },
    _DENSEST: {
        "too high": "the truth is too far out: the posterior is too narrow, or shifted",
        "too low": "the truth is too far in: the posterior is too wide",
        "too often at the ends": "the truth is too often very far out or very far in",
        "too often in the middle": "the truth is too seldom very far out or very far in",
    },
}


@dataclass(frozen=True, eq=False)
class Coverage:
    r"""How often credible regions hold the truth, on average over the prior.

    Args:
        levels: ``(rows,)``, in (0, 1): the credibility of the smallest region that holds the truth of each row. If the
            posterior is exact they are uniform.
        regions: Which regions: balls around reference points, or regions of highest density.
    """

    levels: Float[Tensor, " rows"]
    regions: str

    def expected(self, credibility: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The share of rows whose region of that credibility holds the truth.

        Args:
            credibility: In [0, 1].
        """
        ordered = self.levels.sort().values
        return torch.searchsorted(ordered, credibility.to(ordered), right=True).double() / len(ordered)

    @property
    def area(self) -> float:
        r"""The area between curve and diagonal over the larger regions, :math:`\int_{1/2}^1 \mathrm{ECP}(a) - a \, da`.

        Above zero the posteriors are too wide, below zero too narrow (or shifted); lies in [-3/8, 1/8].
        """
        return float((1 - self.levels.clamp(min=0.5)).mean()) - 0.375

    @property
    def uniformity(self) -> Uniformity:
        """The levels, with their tests."""
        return Uniformity(self.levels)

    @property
    def pvalue(self) -> float:
        """The chance of a curve that leaves as unlikely a band, if the coverage is right."""
        return self.uniformity.band_pvalue

    @property
    def says(self) -> str:
        """What can be concluded, and what can not."""
        if self.pvalue > 0.05:
            return f"The coverage of {self.regions} is right as far as {len(self.levels)} rows can show."
        way = _WAYS[self.regions][self.uniformity.says]
        return f"The posterior is wrong: with {self.regions}, {way} ({pvalue_text(self.pvalue)})."


def tarp(
    draws: Float[Tensor, "rows count parameters"],
    theta: Float[Tensor, "rows parameters"],
    *,
    references: Float[Tensor, "rows parameters"] | None = None,
    generator: torch.Generator | None = None,
) -> Coverage:
    r"""Test the coverage of balls around random points, which needs draws alone.

    .. math:: f_i = \frac1L \#\left\{ l : \|\theta_i^{(l)} - \theta_{r,i}\| < \|\theta_i - \theta_{r,i}\| \right\}
        \;\sim\; \mathrm{Uniform}

    with distances in units of each parameter's deviation over the rows. The exact posterior has right coverage whatever
    the reference points; if the coverage is right for every way to choose them from the data, the posterior is exact.

    **What it cannot see.** Reference points that do not look at the data, as those made here if none are given
    (uniform over the box of ``theta``), let the prior pass for a posterior. Reference points that depend on the data
    see it: for example any estimate of the parameters, with noise.

    Args:
        draws: Draws of each posterior.
        theta: The true parameters: draws of the prior.
        references: One reference point for each row, chosen without a look at ``theta``.
        generator: Draws the reference points, breaks ties.

    Returns:
        The coverage, with area to the diagonal and p-value.

    Raises:
        ShapeError: If the shapes do not fit together.

    Reference:
        Lemos et al., "Sampling-Based Accuracy Testing of Posterior Estimators for General Inference", ICML 2023,
        theorem 3 and algorithm 2.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> theta = torch.randn(500, 2, generator=g)
        >>> x = theta + torch.randn(500, 2, generator=g)
        >>> noise = 0.5**0.5 * torch.randn(500, 100, 2, generator=g)
        >>> [round(tarp(x[:, None] / 2 + s * noise, theta, generator=g).area, 2) for s in (0.5, 1.0, 2.0)]
        [-0.07, 0.0, 0.08]
    """
    check_draws(draws, theta)
    scale = theta.std(0)
    if references is None:
        low, high = theta.min(0).values, theta.max(0).values
        references = low + (high - low) * torch.rand(theta.shape, generator=generator, dtype=theta.dtype)
    elif references.shape != theta.shape:
        raise ShapeError(
            f"references must have the shape of theta, {tuple(theta.shape)}, got {tuple(references.shape)}."
        )
    own = ((draws - references.unsqueeze(1)) / scale).norm(dim=-1, keepdim=True)
    true = ((theta - references) / scale).norm(dim=-1, keepdim=True)
    _, levels = rank_among(own, true, generator=generator)
    return Coverage(levels[:, 0], _BALLS)


def highest_density_coverage(
    draws_log_prob: Float[Tensor, "rows count"],
    theta_log_prob: Float[Tensor, " rows"],
    *,
    generator: torch.Generator | None = None,
) -> Coverage:
    r"""Test the coverage of the regions of highest density, which needs log-densities.

    .. math:: f_i = \frac1L \#\left\{ l : q(\theta_i^{(l)} \mid x_i) > q(\theta_i \mid x_i) \right\}
        \;\sim\; \mathrm{Uniform}

    **What it cannot see.** The prior passes for a posterior here too, and so may any posterior whose errors in one
    place are made good in another.

    Args:
        draws_log_prob: Log-densities of draws under the posterior they were drawn from.
        theta_log_prob: Log-density of the true parameters under the same posteriors.
        generator: Breaks ties.

    Returns:
        The coverage, with area to the diagonal and p-value.

    Raises:
        ShapeError: If there are not as many rows in both.

    Reference:
        Hermans et al., "A Trust Crisis In Simulation-Based Inference? Your Posterior Approximations Can Be Unfaithful",
        TMLR 2022, equation (3).

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> draws, truth = torch.randn(500, 100, generator=g), torch.randn(500, generator=g)
        >>> found = highest_density_coverage(-draws.square() / 2, -truth.square() / 2, generator=g)
        >>> found.expected(torch.tensor([0.5, 0.9])).round(decimals=1).tolist()
        [0.5, 0.9]
    """
    if len(draws_log_prob) != len(theta_log_prob):
        raise ShapeError(
            f"Both log-densities must be of the same rows, got {len(draws_log_prob)} and {len(theta_log_prob)}."
        )
    _, levels = rank_among(-draws_log_prob.unsqueeze(-1), -theta_log_prob.unsqueeze(-1), generator=generator)
    return Coverage(levels[:, 0], _DENSEST)
