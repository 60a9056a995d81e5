"""What a decoder says of pixels: laws of an image given its latent, and their means."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import normal_log_prob, soft_bound

__all__ = ["AbstractPixels", "BernoulliPixels", "LogisticPixels", "NormalPixels"]

Bounds = tuple[float, float]


class AbstractPixels(nn.Module, ABC):
    r"""A law of images whose pixels are independent given the decoder's output :math:`\eta`: :math:`p(x \mid \eta)`.

    Args:
        bounds: Between which numbers pixels lie (for a law without bounds: usually lie).
        parameters: How many numbers the decoder gives for each number of an image.

    Raises:
        ArgumentError: The bounds do not increase.
    """

    def __init__(self, bounds: Bounds, parameters: int) -> None:
        super().__init__()
        if len(bounds) != 2 or not bounds[0] < bounds[1]:
            raise ArgumentError(f"bounds must be two increasing numbers, got {bounds}. For bytes use (0, 256).")
        self.bounds = (float(bounds[0]), float(bounds[1]))
        self.parameters_per_number = parameters

    @abstractmethod
    def log_prob(
        self, x: Float[Tensor, "*batch"], eta: Float[Tensor, "rows outputs *sides"]
    ) -> Float[Tensor, "*batch"]:
        """Compute the log-density or log-probability of each number of images, in nats."""

    @abstractmethod
    def mean(self, eta: Float[Tensor, "rows outputs *sides"]) -> Float[Tensor, "rows channels *sides"]:
        """Compute the mean image."""

    @abstractmethod
    def draw(
        self, eta: Float[Tensor, "rows outputs *sides"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows channels *sides"]:
        """Draw images."""

    def check(self, x: Float[Tensor, "*batch"]) -> None:
        """Check that images are such as the law knows.

        Raises:
            ArgumentError: Some pixel cannot occur.
        """

    def centered(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Scale pixels from the bounds to -1 and 1: what an encoder is shown."""
        low, high = self.bounds
        return (2 * x - (low + high)) / (high - low)

    def extra_repr(self) -> str:
        """Name the bounds."""
        return f"bounds={self.bounds}"

    def _placed(self, unit: Tensor) -> Tensor:
        """Scale from -1 and 1 to the bounds."""
        low, high = self.bounds
        return (low + high) / 2 + (high - low) / 2 * unit

    def _split(self, eta: Tensor) -> Tensor:
        """The decoder's channels as ``(rows, parameters, channels, ...)``."""
        return eta.unflatten(1, (self.parameters_per_number, -1))


class NormalPixels(AbstractPixels):
    r"""Pixels with normal noise of one standard deviation, learned or given: a density per unit of each pixel.

    .. math:: \log p(x \mid \eta) = \log \mathcal N(x;\ \mu(\eta), \sigma^2)

    Args:
        bounds: Between which numbers pixels usually lie; the mean is scaled accordingly, but not held there.
        deviation: :math:`\sigma` at the start, in units of pixels; ``None`` for a fifth of the range.
        learned: Whether it is trained along.

    Reference:
        Rybkin, Daniilidis, Levine, "Simple and Effective VAE Training with Calibrated Decoders", 2021, section 3.

    Example:
        >>> law = NormalPixels((-1.0, 1.0), deviation=1.0)
        >>> law.log_prob(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)).item()
        -0.9189385175704956
    """

    def __init__(self, bounds: Bounds = (0.0, 1.0), *, deviation: float | None = None, learned: bool = True) -> None:
        super().__init__(bounds, 1)
        deviation = (self.bounds[1] - self.bounds[0]) / 5 if deviation is None else deviation
        check_positive(deviation, "deviation")
        self.log_deviation = nn.Parameter(torch.tensor(math.log(deviation)), requires_grad=learned)

    def log_prob(
        self, x: Float[Tensor, "*batch"], eta: Float[Tensor, "rows outputs *sides"]
    ) -> Float[Tensor, "*batch"]:
        """Compute the log-density of each number."""
        return normal_log_prob((x - self.mean(eta)) / self.log_deviation.exp()) - self.log_deviation

    def mean(self, eta: Float[Tensor, "rows outputs *sides"]) -> Float[Tensor, "rows channels *sides"]:
        """Compute the mean image."""
        return self._placed(eta)

    def draw(
        self, eta: Float[Tensor, "rows outputs *sides"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows channels *sides"]:
        """Draw images."""
        mean = self.mean(eta)
        return mean + self.log_deviation.exp() * _like(mean, torch.randn, generator)


class BernoulliPixels(AbstractPixels):
    r"""Black and white pixels: a probability, :math:`\log P(x \mid \eta) = x \eta - \log(1 + e^{\eta})`.

    Gray pixels between 0 and 1 are refused: the formula gives them a number too, which is no likelihood of anything.

    Example:
        >>> BernoulliPixels().log_prob(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)).exp().item()
        0.5
    """

    def __init__(self) -> None:
        super().__init__((0.0, 1.0), 1)

    def check(self, x: Float[Tensor, "*batch"]) -> None:
        """Check that every pixel is 0 or 1."""
        if not bool(((x == 0) | (x == 1)).all()):
            raise ArgumentError(
                "pixels must be 0 or 1 for Bernoulli pixels, got others. Draw them (torch.bernoulli(x)) or round them, "
                "or choose pixels='logistic' for gray levels."
            )

    def log_prob(
        self, x: Float[Tensor, "*batch"], eta: Float[Tensor, "rows outputs *sides"]
    ) -> Float[Tensor, "*batch"]:
        """Compute the log-probability of each number."""
        return -functional.binary_cross_entropy_with_logits(eta, x, reduction="none")

    def mean(self, eta: Float[Tensor, "rows outputs *sides"]) -> Float[Tensor, "rows channels *sides"]:
        """Compute the probability of white."""
        return eta.sigmoid()

    def draw(
        self, eta: Float[Tensor, "rows outputs *sides"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows channels *sides"]:
        """Draw images."""
        return (_like(eta, torch.rand, generator) < eta.sigmoid()).to(eta.dtype)


class LogisticPixels(AbstractPixels):
    r"""Gray levels by a mixture of logistic laws, cut into cells: a density per unit of each pixel, constant in a cell.

    .. math:: P(\text{cell } k \mid \eta) = \sum_j \pi_j \big[ \sigma\big(\tfrac{a_k + \delta - m_j}{s_j}\big) -
        \sigma\big(\tfrac{a_k - m_j}{s_j}\big) \big], \qquad \log p(x \mid \eta) = \log P - \log \delta

    Cells have the side :math:`\delta`, and those at the ends take all that lies beyond. Bytes, and bytes to which
    uniform noise of one cell was added, have the same density: it compares with that of a flow of such pixels.

    Args:
        bounds: Between which numbers pixels lie: (0, 256) for bytes.
        levels: How many cells.
        components: How many logistic laws are mixed.

    Raises:
        ArgumentError: A setting is out of its range.

    Reference:
        Salimans, Karpathy, Chen, Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture
        Likelihood and Other Modifications", 2017, section 2.1.

    Example:
        >>> law = LogisticPixels((0.0, 4.0), levels=4)
        >>> density = law.log_prob(torch.tensor([0.0, 1.5, 2.0, 3.9]).view(4, 1, 1), torch.zeros(4, 3, 1)).exp()
        >>> round(density.sum().item(), 6)
        1.0
    """

    def __init__(self, bounds: Bounds = (0.0, 256.0), *, levels: int = 256, components: int = 1) -> None:
        check_count(levels, "levels", 2)
        check_count(components, "components")
        super().__init__(bounds, 3 * components)
        self.levels = levels
        self.components = components
        self.cell = (self.bounds[1] - self.bounds[0]) / levels

    def check(self, x: Float[Tensor, "*batch"]) -> None:
        """Check that every pixel lies between the bounds."""
        low, high = self.bounds
        if not bool(((x >= low) & (x <= high)).all()):
            raise ArgumentError(
                f"pixels must lie between {low} and {high}, got {x.min().item()} to {x.max().item()}. "
                "Name their bounds, (0, 256) for bytes."
            )

    def log_prob(
        self, x: Float[Tensor, "*batch"], eta: Float[Tensor, "rows outputs *sides"]
    ) -> Float[Tensor, "*batch"]:
        """Compute the log-density of each number, that of its cell."""
        weight, middle, scale = self._laws(eta)
        k = ((x - self.bounds[0]) / self.cell).floor().clamp(0, self.levels - 1).unsqueeze(1)
        below = (self.bounds[0] + k * self.cell - middle) / scale
        above = below + self.cell / scale
        first, last = k == 0, k == self.levels - 1
        inside = torch.log(-torch.expm1(-self.cell / scale))  # sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - e^(a-b))
        log_share = functional.logsigmoid(above).masked_fill(last, 0.0)
        log_share = log_share + functional.logsigmoid(-below).masked_fill(first, 0.0)
        log_share = log_share + inside.masked_fill(first | last, 0.0)
        return torch.logsumexp(weight.log_softmax(1) + log_share, 1) - math.log(self.cell)

    def mean(self, eta: Float[Tensor, "rows outputs *sides"]) -> Float[Tensor, "rows channels *sides"]:
        r"""Compute the mean of the logistic laws with what lies beyond the outer cells' centers a and b moved there.

        .. math:: a + s\,\big[\zeta(\tfrac{m - a}{s}) - \zeta(\tfrac{m - b}{s})\big], \qquad \zeta(t) = \log(1 + e^t)

        It is smooth in the latent, and off the mean of the cells by at most half a cell.
        """
        weight, middle, scale = self._laws(eta)
        low, high = self.bounds[0] + self.cell / 2, self.bounds[1] - self.cell / 2
        rise = functional.softplus((middle - low) / scale) - functional.softplus((middle - high) / scale)
        return (weight.softmax(1) * (low + scale * rise)).sum(1).clamp(low, high)

    def draw(
        self, eta: Float[Tensor, "rows outputs *sides"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows channels *sides"]:
        """Draw images: a cell, and a place in it."""
        weight, middle, scale = self._laws(eta)
        race = _like(weight, torch.rand, generator).clamp(min=1e-12).log() / weight.softmax(1)  # the least wins
        chosen = race.argmax(1, keepdim=True)
        noise = _like(middle[:, :1], torch.rand, generator).clamp(1e-6, 1 - 1e-6).logit()
        x = middle.gather(1, chosen) + scale.gather(1, chosen) * noise
        k = ((x - self.bounds[0]) / self.cell).floor().clamp(0, self.levels - 1)[:, 0]
        return self.bounds[0] + self.cell * (k + _like(k, torch.rand, generator).clamp(max=1 - 1e-6))

    def _laws(self, eta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (as logits), middles and scales, ``(rows, components, channels, ...)``."""
        weight, middle, raw = self._split(eta).unflatten(1, (3, self.components)).unbind(1)
        spread = (
            torch.linspace(-0.8, 0.8, self.components, device=eta.device) if self.components > 1 else eta.new_zeros(1)
        )
        middle = self._placed(middle + spread.to(eta).view(-1, *[1] * (middle.dim() - 2)))
        scale = (self.bounds[1] - self.bounds[0]) / 10 * soft_bound(raw, 6.0).exp()
        return weight, middle, scale


def _like(x: Tensor, draw: Callable[..., Tensor], generator: torch.Generator | None) -> Tensor:
    """Noise of the shape of a tensor."""
    return draw(x.shape, dtype=x.dtype, device=x.device, generator=generator)
