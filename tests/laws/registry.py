"""Every bijection and every flow, with the points it is tested on, its tolerances and the laws it is exempt from.

A new bijection is one line here: round trip, log-determinants, batches, contexts, dtype, device, saving, ``vmap``,
``compile``, gradients and repr then come for free. Nothing here depends on the machine: all draws have seeds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from counterflow import bijections as b
from counterflow import flows, nets
from counterflow.core.ode import AdaptiveSolver, FixedSolver, Solver

FEATURES = 3
CONTEXT = 2
SHAKE = 0.15
PICTURE = (1, 4, 4)

Points = Callable[[torch.Generator], Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def anywhere(generator: torch.Generator) -> Tensor:
    """Points on all sides of every knot and tail."""
    return 3 * torch.randn(12, FEATURES, dtype=torch.float64, generator=generator)


def middle(generator: torch.Generator) -> Tensor:
    """Points where distribution functions have digits left."""
    return 3 * (torch.rand(12, FEATURES, dtype=torch.float64, generator=generator) - 0.5)


def unit(generator: torch.Generator) -> Tensor:
    return torch.rand(12, FEATURES, dtype=torch.float64, generator=generator).clamp(0.02, 0.98)


def positive(generator: torch.Generator) -> Tensor:
    return anywhere(generator).exp().clamp(0.01, 100.0)


def around(generator: torch.Generator) -> Tensor:
    """Angles within one turn."""
    return 3.14 * (2 * torch.rand(12, FEATURES, dtype=torch.float64, generator=generator) - 1)


def image(generator: torch.Generator) -> Tensor:
    return torch.randn(12, 2, 2, 2, dtype=torch.float64, generator=generator)


def picture(generator: torch.Generator) -> Tensor:
    return torch.randn(12, *PICTURE, dtype=torch.float64, generator=generator)


SATURATES = "a distribution function is flat far out"
OVERFLOWS = "the exponential leaves the range of the dtype"
USER_CODE = "holds the user's own functions, whose range is theirs"
FIXED = {"parameters": "it has nothing to learn"}
SEARCH = {"compile": "the way to data is a search: its steps, unrolled, make a graph that takes minutes to trace"}
ADAPTIVE = {"compile": "how many steps an adaptive solver takes depends on numbers, which a graph does not hold"}
SOLVED = 1e-7  # an equation is solved to a tolerance, here 1e-10 a step, and errors grow along the way


@dataclass(frozen=True)
class Case:
    """How to build one entry, and what holds for it."""

    build: Callable[[torch.Generator], nn.Module]
    points: Points = anywhere
    context_features: int = 0
    round_trip: float = 1e-9
    log_det: float = 1e-6
    exempt: dict[str, str] = field(default_factory=dict)
    reach: float = 14.0  # how far from zero a density is summed up

    def make(self, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
        """Build it and move its parameters off their starting values."""
        generator = torch.Generator().manual_seed(seed)
        module = self.build(generator).to(dtype)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(SHAKE * torch.randn(parameter.shape, generator=generator).to(dtype))
        return module

    def data(self, *, seed: int = 1) -> tuple[Tensor, Tensor | None]:
        """Points and one context for each."""
        x = self.points(torch.Generator().manual_seed(seed))
        return x, draw(len(x), self.context_features, seed=seed + 1) if self.context_features else None


def mixed_angles(generator: torch.Generator, **settings: object) -> nn.Module:
    """The middle feature and the last are angles; the first and the last stay."""
    families = {"circular": b.CircularSpline(bins=4), "linear": SPLINE}
    return b.CircularCoupling(
        FEATURES, kept=(0, 2), angles=(1, 2), hidden=(8,), generator=generator, **families, **settings
    )


def coupling(transformer: b.AbstractTransformer, **settings: object) -> Callable[[torch.Generator], nn.Module]:
    return lambda g: b.Coupling(FEATURES, transformer, hidden=(8,), generator=g, **settings)


def conv_coupling(transformer: b.AbstractTransformer, **settings: object) -> Callable[[torch.Generator], nn.Module]:
    return lambda g: b.ConvCoupling((2, 2, 2), transformer, hidden=(4, 4), generator=g, **settings)


def checkerboard(transformer: b.AbstractTransformer, **settings: object) -> Callable[[torch.Generator], nn.Module]:
    return lambda g: b.CheckerboardCoupling((2, 2, 2), transformer, hidden=(4, 4), generator=g, **settings)


def autoregressive(transformer: b.AbstractTransformer, **settings: object) -> Callable[[torch.Generator], nn.Module]:
    return lambda g: b.Autoregressive(FEATURES, transformer, hidden=(8, 8), generator=g, **settings)


TIGHT = AdaptiveSolver(atol=1e-10, rtol=1e-10)


def continuous(
    conditioning: str = "concat", context: int = 0, *, solver: Solver = TIGHT, rank: int | None = None
) -> Callable[[torch.Generator], nn.Module]:
    def build(generator: torch.Generator) -> nn.Module:
        velocity = nets.VelocityMLP(
            FEATURES,
            context_features=context,
            hidden=(8, 8),
            conditioning=conditioning,
            rank=rank,
            zero=False,
            generator=generator,
        )
        return b.Continuous(velocity, FEATURES, context_features=context, solver=solver)

    return build


def users_velocity(generator: torch.Generator) -> nn.Module:
    return b.Continuous(Swirl(generator), FEATURES, context_features=CONTEXT, solver=TIGHT)


class Swirl(nn.Module):
    """A user's velocity: a plain module, called with time, state and context."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.first = nets.make_linear(FEATURES + 1 + CONTEXT, 6, generator=generator)
        self.last = nets.make_linear(6, FEATURES, generator=generator)

    def forward(self, t: Tensor, x: Tensor, context: Tensor) -> Tensor:
        lead = torch.broadcast_shapes(t.shape[:-1], x.shape[:-1], context.shape[:-1])
        inputs = torch.cat([tensor.expand(*lead, tensor.shape[-1]) for tensor in (x, t, context)], -1)
        return self.last(self.first(inputs).tanh())


MEANS = torch.tensor([[-1.0, 1.0], [0.0, 0.5], [-2.0, 2.0]])
SPLINE = b.Spline(bins=4, bound=3.0)
FAR = {"extremes": SATURATES}

BIJECTIONS: dict[str, Case] = {
    "actnorm": Case(lambda g: b.ActNorm(FEATURES)),
    "affine": Case(lambda g: b.Affine(FEATURES, shift=1.0, scale=torch.tensor([2.0, -0.5, 1.0]))),
    "affine_context": Case(
        lambda g: b.Affine(FEATURES, context_features=CONTEXT, generator=g), context_features=CONTEXT
    ),
    "given_affine": Case(lambda g: b.GivenAffine(FEATURES, context_features=7), context_features=7, exempt={**FIXED}),
    "affine_image": Case(
        lambda g: b.Affine((2, 2, 2), context_features=CONTEXT, hidden=(4,), generator=g), image, CONTEXT
    ),
    "autoregressive_affine": Case(autoregressive(b.ScaleShift())),
    "autoregressive_affine_context": Case(autoregressive(b.ScaleShift(), context_features=CONTEXT), anywhere, CONTEXT),
    "autoregressive_reverse": Case(autoregressive(b.ScaleShift(), reverse=True, residual=True)),
    "autoregressive_spline": Case(autoregressive(SPLINE), round_trip=1e-7),
    "autoregressive_spline_context": Case(
        autoregressive(SPLINE, context_features=CONTEXT), anywhere, CONTEXT, round_trip=1e-7
    ),
    "autoregressive_bernstein_context": Case(
        autoregressive(b.Bernstein(degree=6, bound=3.0), context_features=CONTEXT), anywhere, CONTEXT
    ),
    "autoregressive_monotone_integral_context": Case(
        autoregressive(b.MonotoneIntegral(units=3, nodes=16, bound=3.0), context_features=CONTEXT),
        anywhere,
        CONTEXT,
        exempt=SEARCH,
    ),
    "autoregressive_monotone_net_context": Case(
        autoregressive(b.MonotoneNet(units=4), context_features=CONTEXT), anywhere, CONTEXT, exempt=SEARCH
    ),
    "autoregressive_sum_of_squares_context": Case(
        autoregressive(b.SumOfSquares(degree=3, bound=3.0), context_features=CONTEXT), anywhere, CONTEXT, exempt=SEARCH
    ),
    "bounded": Case(
        lambda g: b.Bounded(torch.tensor([0.0, -math.inf, 0.0]), torch.tensor([1.0, 1.0, math.inf])),
        unit,
        exempt={"extremes": "needs numbers between its bounds"} | FIXED,
    ),
    "chain": Case(
        lambda g: b.Chain([b.Affine(FEATURES), b.Permutation.reversal(FEATURES), coupling(b.ScaleShift())(g)])
    ),
    "checkerboard_affine_context": Case(checkerboard(b.ScaleShift(2.0), context_features=CONTEXT), image, CONTEXT),
    "checkerboard_shift": Case(checkerboard(b.Shift(), flip=True), image),
    "checkerboard_spline_residual": Case(checkerboard(SPLINE, residual=True), image, round_trip=1e-7),
    "circular_coupling": Case(
        lambda g: b.CircularCoupling(
            FEATURES, kept=(1,), angles=(0, 1, 2), circular=b.CircularSpline(4), linear=SPLINE, hidden=(8,), generator=g
        ),
        around,
        round_trip=1e-7,
    ),
    "circular_coupling_mixed_context": Case(
        lambda g: mixed_angles(g, context_features=CONTEXT), around, CONTEXT, round_trip=1e-7
    ),
    "continuous": Case(continuous(), round_trip=SOLVED, exempt=ADAPTIVE),
    "continuous_context": Case(continuous("concat", CONTEXT), anywhere, CONTEXT, round_trip=SOLVED, exempt=ADAPTIVE),
    "continuous_film": Case(continuous("film", CONTEXT), anywhere, CONTEXT, round_trip=SOLVED, exempt=ADAPTIVE),
    "continuous_fixed": Case(
        continuous("squash", CONTEXT, solver=FixedSolver(steps=12)), anywhere, CONTEXT, round_trip=1e-6, log_det=1e-5
    ),
    "continuous_hypernetwork": Case(
        continuous("hypernetwork", CONTEXT), anywhere, CONTEXT, round_trip=SOLVED, exempt=ADAPTIVE
    ),
    "continuous_low_rank": Case(
        continuous("hypernetwork", CONTEXT, rank=2), anywhere, CONTEXT, round_trip=SOLVED, exempt=ADAPTIVE
    ),
    "continuous_squash": Case(continuous("squash", CONTEXT), anywhere, CONTEXT, round_trip=SOLVED, exempt=ADAPTIVE),
    "continuous_user": Case(users_velocity, anywhere, CONTEXT, round_trip=SOLVED, exempt=ADAPTIVE),
    "conv_coupling_affine_context": Case(
        conv_coupling(b.ScaleShift(2.0), context_features=CONTEXT, flip=True), image, CONTEXT
    ),
    "conv_coupling_residual_context": Case(
        conv_coupling(b.ScaleShift(2.0), context_features=CONTEXT, residual=True), image, CONTEXT
    ),
    "conv_coupling_shift": Case(conv_coupling(b.Shift()), image),
    "coupling_affine": Case(coupling(b.ScaleShift())),
    "coupling_affine_context": Case(coupling(b.ScaleShift(), context_features=CONTEXT, flip=True), anywhere, CONTEXT),
    "coupling_bernstein": Case(coupling(b.Bernstein(degree=6, bound=3.0))),
    "coupling_circular_spline": Case(coupling(b.CircularSpline(bins=4)), around, round_trip=1e-7),
    "coupling_monotone_integral": Case(coupling(b.MonotoneIntegral(units=3, nodes=16, bound=3.0))),
    "coupling_film": Case(
        coupling(SPLINE, kept=2, context_features=CONTEXT, conditioning="film"), anywhere, CONTEXT, round_trip=1e-7
    ),
    "coupling_monotone_net": Case(coupling(b.MonotoneNet(units=4))),
    "coupling_one_feature": Case(
        lambda g: b.Coupling(1, b.ScaleShift(), context_features=CONTEXT, hidden=(4,), generator=g),
        lambda g: anywhere(g)[:, :1],
        CONTEXT,
    ),
    "coupling_one_feature_alone": Case(lambda g: b.Coupling(1, SPLINE), lambda g: anywhere(g)[:, :1], round_trip=1e-7),
    "coupling_shift": Case(coupling(b.Shift())),
    "coupling_spline": Case(coupling(SPLINE), round_trip=1e-7),
    "coupling_spline_context": Case(
        coupling(SPLINE, context_features=CONTEXT, flip=True), anywhere, CONTEXT, round_trip=1e-7
    ),
    "coupling_sum_of_squares": Case(coupling(b.SumOfSquares(degree=3, bound=3.0))),
    "elementwise": Case(
        lambda g: b.Elementwise(lambda x: x**3 + x, _cubic_root, event_shape=FEATURES),
        exempt={"extremes": USER_CODE} | FIXED,
    ),
    "exp": Case(lambda g: b.Exp(FEATURES), exempt={"extremes": OVERFLOWS} | FIXED),
    "gaussianize": Case(lambda g: b.Gaussianize(FEATURES, components=3), exempt=SEARCH),
    "gaussianize_context": Case(
        lambda g: b.Gaussianize(FEATURES, components=3, hidden=(4,), context_features=CONTEXT, generator=g),
        anywhere,
        CONTEXT,
        exempt=SEARCH,
    ),
    "interval": Case(
        lambda g: b.Interval(-1.0, 2.0, event_shape=FEATURES), unit, exempt={"extremes": "needs (-1, 2)"} | FIXED
    ),
    "invert": Case(lambda g: b.Invert(autoregressive(b.ScaleShift(), context_features=CONTEXT)(g)), anywhere, CONTEXT),
    "invertible_conv": Case(lambda g: b.invertible_conv((2, 2, 2), generator=g), image),
    "linear": Case(
        lambda g: b.Linear(torch.randn(FEATURES, FEATURES, generator=g), torch.ones(FEATURES)), exempt=FIXED
    ),
    "log": Case(lambda g: b.Invert(b.Exp(FEATURES)), positive, exempt={"extremes": "needs positive numbers"} | FIXED),
    "logit": Case(
        lambda g: b.Invert(b.Sigmoid(FEATURES)), unit, exempt={"extremes": "needs numbers in (0, 1)"} | FIXED
    ),
    "lower_triangular": Case(lambda g: b.LowerTriangular(FEATURES)),
    "lu": Case(lambda g: b.LULinear(FEATURES)),
    "mixture_cdf": Case(lambda g: b.MixtureCDF(MEANS), middle, exempt=FAR),
    "mixture_quantile": Case(lambda g: b.Invert(b.MixtureCDF(MEANS)), unit, exempt={"extremes": "needs (0, 1)"}),
    "normal_cdf": Case(lambda g: b.NormalCDF(FEATURES), middle, exempt=FAR | FIXED),
    "normal_quantile": Case(
        lambda g: b.Invert(b.NormalCDF(FEATURES)), unit, exempt={"extremes": "needs (0, 1)"} | FIXED
    ),
    "on_channels": Case(lambda g: b.OnChannels(2, b.Affine((1, 2, 2))), image),
    "on_channels_context": Case(
        lambda g: b.OnChannels(2, b.Affine((1, 2, 2), context_features=CONTEXT, generator=g)), image, CONTEXT
    ),
    "on_features": Case(lambda g: b.OnFeatures(FEATURES, b.ActNorm(2), chosen=[2, 0])),
    "orthogonal": Case(lambda g: b.Orthogonal(FEATURES, generator=g)),
    "permutation": Case(lambda g: b.Permutation([2, 0, 1]), exempt=FIXED),
    "pixelwise_actnorm": Case(lambda g: b.PixelWise(b.ActNorm(2), (2, 2)), image),
    "pixelwise_context": Case(
        lambda g: b.PixelWise(b.Affine(2, context_features=CONTEXT, generator=g), (2, 2)), image, CONTEXT
    ),
    "planar_step": Case(lambda g: b.Planar(FEATURES, generator=g)),
    "planar_step_context": Case(
        lambda g: b.Planar(FEATURES, context_features=CONTEXT, hidden=(4,), generator=g), anywhere, CONTEXT
    ),
    "planar_step_leaky": Case(lambda g: b.Planar(FEATURES, activation="leaky_relu", generator=g)),
    "radial_step": Case(lambda g: b.Radial(FEATURES, generator=g)),
    "radial_step_context": Case(
        lambda g: b.Radial(FEATURES, context_features=CONTEXT, hidden=(4,), generator=g), anywhere, CONTEXT
    ),
    "residual_block": Case(lambda g: b.Residual(FEATURES, lipschitz=0.5, hidden=(8,), generator=g)),
    "residual_block_context": Case(
        lambda g: b.Residual(FEATURES, lipschitz=0.5, hidden=(8, 8), context_features=CONTEXT, generator=g),
        anywhere,
        CONTEXT,
    ),
    "reversal": Case(lambda g: b.Permutation.reversal(FEATURES), exempt=FIXED),
    "sigmoid": Case(lambda g: b.Sigmoid(FEATURES), middle, exempt=FAR | FIXED),
    "squeezed": Case(
        lambda g: b.Squeezed(b.ConvCoupling((4, 2, 2), b.ScaleShift(2.0), hidden=(4,), generator=g)), picture
    ),
    "sylvester_step": Case(lambda g: b.Sylvester(FEATURES, units=2, generator=g)),
    "sylvester_step_context": Case(
        lambda g: b.Sylvester(FEATURES, units=2, context_features=CONTEXT, generator=g), anywhere, CONTEXT
    ),
    "sylvester_step_triangular": Case(
        lambda g: b.Sylvester(FEATURES, units=2, reflections=0, reverse=True, generator=g)
    ),
    "transformer_tokens": Case(
        lambda g: b.TransformerAutoregressive(FEATURES, SPLINE, hidden=(8,), heads=2, reverse=True, generator=g),
        round_trip=1e-7,
    ),
    "transformer_tokens_context": Case(
        lambda g: b.TransformerAutoregressive(
            FEATURES, b.ScaleShift(), hidden=(8, 8), context_features=CONTEXT, generator=g
        ),
        anywhere,
        CONTEXT,
    ),
    "transformer_patches": Case(
        lambda g: b.TransformerAutoregressive(
            (2, 2, 2), b.ScaleShift(), hidden=(8,), context_features=CONTEXT, generator=g
        ),
        image,
        CONTEXT,
    ),
    "transport": Case(lambda g: b.transport(b.MixtureCDF(MEANS), b.NormalCDF(FEATURES)), middle, exempt=FAR),
    "truncated_whitening": Case(
        lambda g: b.TruncatedWhitening(torch.tensor([0.0, -math.inf, 0.0]), torch.tensor([1.0, math.inf, math.inf])),
        unit,
        round_trip=1e-7,
        exempt={"extremes": "needs numbers between its bounds"},
    ),
    "truncated_whitening_context": Case(
        lambda g: b.TruncatedWhitening(
            torch.tensor([-1.0, -math.inf, -9.0]), torch.tensor([2.0, 4.0, 9.0]), context_features=CONTEXT
        ),
        unit,
        CONTEXT,
        round_trip=1e-7,
        exempt={"extremes": "needs numbers between its bounds"},
    ),
    "whitening": Case(lambda g: b.Whitening(FEATURES, context_features=CONTEXT), anywhere, CONTEXT),
}


def _recipe(name: str, context_features: int, features: int = FEATURES) -> Callable[[torch.Generator], nn.Module]:
    def build(generator: torch.Generator) -> nn.Module:
        settings: dict[str, object] = {"hidden": (8,)}
        if name != "linear":
            settings["layers"] = 2
        settings |= LIGHT.get(name, {}) | (PRECISE.get(name, {}) if features == FEATURES else {})
        return flows.RECIPES[name](features, context_features=context_features, generator=generator, **settings)

    return build


def _image_recipe(
    name: str, context_features: int, shape: tuple[int, int, int] = PICTURE, **settings: object
) -> Callable[[torch.Generator], nn.Module]:
    def build(generator: torch.Generator) -> nn.Module:
        depth = {"steps": 2} if name == "glow" else {"layers": 2}
        chosen = {"hidden": (4,)} | depth | settings
        return flows.RECIPES[name](shape, context_features=context_features, generator=generator, **chosen)

    return build


LIGHT = {"unconstrained_monotone": {"units": 3, "nodes": 16, "bound": 3.0}}
PRECISE = {"continuous": {"atol": 1e-10, "rtol": 1e-10}}

SMOOTH = {"spline_coupling": 1e-7, "spline_autoregressive": 1e-7, "continuous": SOLVED, "circular_spline": 1e-7}

POINTS = {"circular_spline": around}
REACH = {"circular_spline": math.pi, "unconstrained_monotone": 40.0}

FLOWS: dict[str, Case] = {
    name + ("_context" if context else ""): Case(
        _recipe(name, context),
        POINTS.get(name, anywhere),
        context,
        round_trip=SMOOTH.get(name, 1e-9),
        exempt=ADAPTIVE if name == "continuous" else {},
    )
    for name in flows.TABLE_RECIPES
    for context in (0, CONTEXT)
} | {
    "glow": Case(_image_recipe("glow", 0, levels=2), picture),
    "glow_additive_context": Case(_image_recipe("glow", CONTEXT, levels=2, affine=False), picture, CONTEXT),
    "image_realnvp": Case(_image_recipe("image_realnvp", 0, levels=1), picture),
    "image_realnvp_context": Case(_image_recipe("image_realnvp", CONTEXT, levels=1), picture, CONTEXT),
}

SMALL_FLOWS: dict[str, Case] = {
    f"{name}_{features}d": Case(_recipe(name, CONTEXT, features), anywhere, CONTEXT, reach=REACH.get(name, 14.0))
    for name in flows.TABLE_RECIPES
    for features in (1, 2)
} | {
    f"{name}_{'x'.join(map(str, shape))}": Case(_image_recipe(name, CONTEXT, shape), context_features=CONTEXT)
    for name in ("glow", "image_realnvp")
    for shape in ((1, 1, 1), (1, 1, 2), (2, 1, 1))
}

ALL: dict[str, Case] = BIJECTIONS | FLOWS


def _cubic_root(z: Tensor) -> Tensor:
    """The real root of x^3 + x = z: 2 / sqrt(3) sinh(asinh(3 sqrt(3) z / 2) / 3)."""
    return 2 / 3**0.5 * torch.sinh(torch.asinh(1.5 * 3**0.5 * z) / 3)
