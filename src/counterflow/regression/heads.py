"""What gives p(y | x) its form: splines, equations whose weights a net emits, mixtures of normal laws."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from counterflow.bijections import AbstractBijection, Affine, Continuous
from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.core.ode import AdaptiveSolver
from counterflow.distributions import AbstractDistribution, Laplace, StandardNormal, StudentT
from counterflow.flows import Flow, compose, spline_autoregressive
from counterflow.nets import VelocityMLP
from counterflow.regression.mixtures import ConditionalMixture

__all__ = ["ContinuousHead", "Head", "MixtureHead", "SplineHead", "head_from_plain", "head_to_plain", "make_head"]

Base = str


def _check_base(base: str) -> None:
    if base not in ("normal", "laplace", "student"):
        raise ArgumentError(f"base must be 'normal', 'laplace' or 'student', got {base!r}. Choose one of these.")


@dataclass(frozen=True)
class SplineHead:
    r"""A conditional scale and shift, then an autoregressive spline flow: quick and exact, the default.

    .. math:: z = s_{g(c)}\big( (y - m(c))\, e^{-a(c)} \big)

    Args:
        layers: Number of autoregressive splines.
        hidden: Widths of the hidden layers of each net.
        bins: Bins of each spline.
        base: The law of the latent: ``"normal"``, ``"laplace"`` or ``"student"`` (learned degrees of freedom).

    Reference:
        Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019, section 3.

    Example:
        >>> SplineHead(layers=2).bins
        8
    """

    layers: int = 1
    hidden: tuple[int, ...] = (64, 64)
    bins: int = 8
    base: Base = "normal"

    def __post_init__(self) -> None:
        check_count(self.layers, "layers")
        check_count(self.bins, "bins", 2)
        _check_base(self.base)

    def build(
        self, first: list[AbstractBijection], features: int, *, context_features: int, generator: torch.Generator
    ) -> Flow | ConditionalMixture:
        """Make the flow behind the layers that come first."""
        sizes = {"context_features": context_features, "hidden": self.hidden, "generator": generator}
        splines = spline_autoregressive(features, layers=self.layers, bins=self.bins, **sizes)
        return compose([*first, Affine(features, **sizes), splines.bijection], _base(self.base, features))


@dataclass(frozen=True)
class ContinuousHead:
    r"""An equation :math:`\dot z = v_{\theta(c)}(t, z)`, trained by maximum likelihood.

    With ``conditioning="hypernetwork"`` (RegFlow) a net of the context emits all weights of the equation, or a change
    of them of a low rank; with ``"film"``, ``"squash"`` or ``"concat"`` the context steers shared weights, at a small
    part of the price.

    Args:
        hidden: Widths of the hidden layers of the velocity.
        conditioning: How the context enters.
        rank: For a hypernetwork, the rank of what it emits; ``None`` for the full rank.
        base: The law of the latent: ``"normal"``, ``"laplace"`` (RegFlow's own) or ``"student"``.
        tolerance: Of the adaptive solver while it trains. What was learned is then solved to 1e-7: the likelihood of an
            equation that is solved coarsely can be raised without limit by its errors.

    Reference:
        Zieba et al., "RegFlow: Probabilistic Flow-based Regression for Future Prediction", 2020, section 3;
        Grathwohl et al., "FFJORD", 2019.

    Example:
        >>> ContinuousHead(conditioning="hypernetwork", base="laplace").tolerance
        0.0001
    """

    hidden: tuple[int, ...] = (32, 32)
    conditioning: str = "film"
    rank: int | None = None
    base: Base = "normal"
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        _check_base(self.base)
        check_positive(self.tolerance, "tolerance")
        if self.rank is not None:
            check_count(self.rank, "rank")

    def build(
        self, first: list[AbstractBijection], features: int, *, context_features: int, generator: torch.Generator
    ) -> Flow | ConditionalMixture:
        """Make the flow behind the layers that come first."""
        velocity = VelocityMLP(
            features,
            context_features=context_features,
            hidden=self.hidden,
            conditioning=self.conditioning,
            rank=self.rank,
            generator=generator,
        )
        scale = Affine(features, context_features=context_features, generator=generator)
        solver = AdaptiveSolver(atol=self.tolerance, rtol=self.tolerance)
        equation = Continuous(velocity, features, context_features=context_features, solver=solver)
        return compose([*first, scale, equation], _base(self.base, features))


@dataclass(frozen=True)
class MixtureHead:
    """A mixture density network: weights, means and covariances of normal laws, given by a net.

    With one component it is the Gaussian head, the plain baseline of every flow here.

    Args:
        components: Number of normal laws.
        hidden: Widths of the hidden layers of the net.

    Reference:
        Bishop, "Mixture Density Networks", 1994, equation 22.

    Example:
        >>> MixtureHead(1).components
        1
    """

    components: int = 5
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        check_count(self.components, "components")

    def build(
        self, first: list[AbstractBijection], features: int, *, context_features: int, generator: torch.Generator
    ) -> Flow | ConditionalMixture:
        """Make the mixture behind the layers that come first."""
        return ConditionalMixture(
            first,
            features,
            components=self.components,
            context_features=context_features,
            hidden=self.hidden,
            generator=generator,
        )


Head = SplineHead | ContinuousHead | MixtureHead

_KINDS: dict[str, type[SplineHead] | type[ContinuousHead] | type[MixtureHead]] = {
    "spline": SplineHead,
    "continuous": ContinuousHead,
    "mixture": MixtureHead,
}
_SHORT: dict[str, Head] = {
    "spline": SplineHead(),
    "continuous": ContinuousHead(),
    "mixture": MixtureHead(),
    "gaussian": MixtureHead(1),
}


def make_head(head: Head | str) -> Head:
    """A head by name: ``"spline"``, ``"continuous"``, ``"mixture"``, ``"gaussian"``; or the one given.

    Raises:
        ArgumentError: If there is none of that name.

    Example:
        >>> make_head("gaussian")
        MixtureHead(components=1, hidden=(64, 64))
    """
    if isinstance(head, Head):
        return head
    if not isinstance(head, str) or head not in _SHORT:
        raise ArgumentError(
            f"head must be one of {', '.join(map(repr, _SHORT))}, a SplineHead, a ContinuousHead or a MixtureHead, "
            f"got {head!r}. Choose one of these."
        )
    return _SHORT[head]


def head_to_plain(head: Head) -> dict[str, Any]:
    """A head as plain data.

    Example:
        >>> head_from_plain(head_to_plain(MixtureHead(3))).components
        3
    """
    kind = next(name for name, form in _KINDS.items() if isinstance(head, form))
    return {"kind": kind, **asdict(head), "hidden": list(head.hidden)}


def head_from_plain(plain: dict[str, Any]) -> Head:
    """Read what :func:`head_to_plain` gave."""
    settings = {**plain, "hidden": tuple(plain["hidden"])}
    return _KINDS[settings.pop("kind")](**settings)


def _base(name: Base, features: int) -> AbstractDistribution:
    match name:
        case "laplace":
            return Laplace(torch.zeros(features))
        case "student":
            return StudentT(features, degrees=8.0)
    return StandardNormal(features)
