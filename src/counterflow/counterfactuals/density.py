r"""Class-conditional densities of a table, calibrated so that "plausible" is a statement about fresh rows.

A :class:`ClassDensity` holds one or several flows :math:`p_k(x \mid y)` on the dequantized encoding of a table. Its
score of a row is the lowest of their log-densities, so that a search has to please all of them. The scores of held-out
real rows of each class turn a score into a split-conformal p-value, the *plausibility*: a fresh exchangeable row of
the class has a plausibility of at most ``a`` with a chance of at most ``a``, averaged over calibrations. Nothing
follows for one answer, person or subgroup.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterflow.core.numerics import log_mean_exp
from counterflow.metrics import conformal_pvalue, conformal_threshold
from counterflow.tables import FlowEncoding

__all__ = ["ClassDensity", "ConditionalDensity"]

ConditionalDensity = Callable[[Tensor, Tensor], Tensor]
"""Anything that maps encoded rows and one-hot classes to log-densities: a flow of the engine, or any module."""

_POINTS_AT_ONCE = 8192


class ClassDensity(nn.Module):
    """Flows over one encoding, and the calibration scores of each class.

    All log-densities are natural logarithms in the data's own units: per unit of each continuous column, and a
    probability in each discrete one. All numbers are float64. Moved to a GPU, it computes there, and takes rows from
    and gives numbers back to wherever the rows are.

    Args:
        encoding: Between rows and the flows' space.
        flows: One or more conditional flows; their context is the one-hot class.
        classes: The number of classes.
        mixture: Whether a score is the log-density of the flows' equal mixture (a density itself), not the lowest.
        draws: How many fixed dequantization draws a log-density averages over, the same for every row.
        seed: Where these draws come from.
    """

    noise: Tensor

    def __init__(
        self,
        encoding: FlowEncoding,
        flows: Sequence[nn.Module],
        *,
        classes: int,
        mixture: bool = False,
        draws: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.flows = nn.ModuleList(flows).double().eval().requires_grad_(requires_grad=False)
        self.classes = classes
        self.mixture = mixture
        noise = encoding.fixed_noise(draws if encoding.discrete else 1, seed=seed).double()
        self.register_buffer("noise", noise, persistent=False)
        self.calibration: list[Float[np.ndarray, " held_out"]] = []

    def member_log_densities(
        self, numbers: Float[Tensor, "rows columns"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, "members rows"]:
        """Log-density under each flow, averaged over the fixed draws; without gradients."""
        rows = max(1, _POINTS_AT_ONCE // len(self.noise))
        pieces = zip(numbers.split(rows), labels.split(rows), strict=True)
        with torch.no_grad():
            return torch.cat([self._averaged(part, label) for part, label in pieces], -1)

    def log_density(
        self, numbers: Float[Tensor, "rows columns"], labels: Int[Tensor, " rows"]
    ) -> Float[np.ndarray, " rows"]:
        """The score of each row under its class: the lowest log-density of the flows, or that of their mixture."""
        if not len(numbers):
            return np.zeros(0)
        members = self.member_log_densities(numbers, labels)
        return (log_mean_exp(members, 0) if self.mixture else members.amin(0)).numpy()

    def at_draw(
        self, draw: int, numbers: Float[Tensor, "rows columns"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, "members rows"]:
        """Log-density under each flow with a single dequantization draw; differentiable in ``numbers``.

        A search that sees another draw at every step climbs the density of rows, not that of one point of their cells.

        Args:
            draw: Which of the fixed draws, counted around.
            numbers: Rows, or points between rows.
            labels: Their classes.
        """
        device = self.noise.device
        points, log_weight = self.encoding.encode(numbers.to(device), self.noise[draw % len(self.noise), 0])
        context = self._context(labels.to(device))
        return (torch.stack([flow(points, context) for flow in self.flows]) + log_weight).to(numbers.device)

    def calibrate(self, numbers: Float[Tensor, "rows columns"], labels: Int[Tensor, " rows"]) -> None:
        """Take the scores of held-out real rows, each under its own class."""
        scores = self.log_density(numbers, labels)
        self.calibration = [np.sort(scores[(labels == k).numpy()]) for k in range(self.classes)]

    def plausibility(
        self, scores: Float[np.ndarray, " rows"], labels: Int[Tensor, " rows"]
    ) -> Float[np.ndarray, " rows"]:
        """The conformal p-value of each score among the held-out rows of its class, in (0, 1]."""
        result = np.empty(len(scores))
        for k in range(self.classes):
            of_class = (labels == k).numpy()
            if of_class.any():
                result[of_class] = conformal_pvalue(self.calibration[k], scores[of_class])
        return result

    def threshold(self, level: float) -> Float[Tensor, " classes"]:
        """The least score whose plausibility reaches ``level``, for each class."""
        return torch.tensor([conformal_threshold(scores, level) for scores in self.calibration], dtype=torch.float64)

    def _averaged(self, numbers: Tensor, labels: Tensor) -> Tensor:
        device = self.noise.device
        points, log_weight = self.encoding.encode(
            numbers.to(device).expand(len(self.noise), *numbers.shape), self.noise
        )
        context = self._context(labels.to(device)).expand(len(self.noise), -1, -1)
        each = torch.stack([log_mean_exp(flow(points, context) + log_weight, 0) for flow in self.flows])
        return each.to(numbers.device)

    def _context(self, labels: Tensor) -> Tensor:
        return nn.functional.one_hot(labels, self.classes).double()
