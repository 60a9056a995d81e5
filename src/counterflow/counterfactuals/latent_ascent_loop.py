"""The loop of latent ascent: all images climb at once, and each leaves on its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.latent_ascent_goals import AscentGoal, Judgement

__all__ = ["AscentSettings", "Climb", "climb"]

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8

View = Callable[[Tensor, Tensor], Tensor]
Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class AscentSettings:
    r"""How images climb.

    Args:
        learning_rate: The step length: of Adam in units of the latent, of the gradient its factor :math:`\lambda`.
        max_steps: Steps after which an image stops in any case.
        optimizer: ``"adam"``, or ``"gradient"``, plain ascent, which follows the theorem.
        proximity: Weight of half the squared distance to the reconstruction.
        keep_path: Whether every step is kept.

    Raises:
        ArgumentError: A number is outside its range.

    Example:
        >>> AscentSettings().optimizer
        'adam'
    """

    learning_rate: float = 5e-2
    max_steps: int = 2000
    optimizer: Literal["adam", "gradient"] = "adam"
    proximity: float = 0.0
    keep_path: bool = False

    def __post_init__(self) -> None:
        check_positive(self.learning_rate, "learning_rate")
        check_count(self.max_steps, "max_steps", minimum=0)
        if self.optimizer not in ("adam", "gradient"):
            raise ArgumentError(f"optimizer must be 'adam' or 'gradient', got {self.optimizer!r}. Choose one of these.")
        if not self.proximity >= 0:
            raise ArgumentError(f"proximity must be at least 0, got {self.proximity}. Use 0 for none.")


class Climb(NamedTuple):
    """Where images came to.

    Args:
        z: The latents.
        x: What the model saw of them.
        judged: What the goal said.
        steps: How many steps each made.
        path: For each image what the model saw at every step, or at the first and the last.
    """

    z: Float[Tensor, "n *latent"]
    x: Float[Tensor, "n *event"]
    judged: Judgement
    steps: Int[Tensor, " n"]
    path: tuple[Tensor, ...]


class _Climbers:
    """The images still on their way, with Adam's moments of each."""

    def __init__(self, start: Tensor) -> None:
        self.rows = torch.arange(len(start), device=start.device)
        self.z = start
        self.mean = torch.zeros_like(start)
        self.square = torch.zeros_like(start)

    def step(self, gradient: Tensor, count: int, settings: AscentSettings) -> None:
        """Move against the gradient of the loss."""
        if settings.optimizer == "gradient":
            self.z = self.z.detach() - settings.learning_rate * gradient
            return
        self.mean = torch.lerp(self.mean, gradient, 1 - _BETAS[0])
        self.square = torch.lerp(self.square, gradient.square(), 1 - _BETAS[1])
        mean, square = self.mean / (1 - _BETAS[0] ** count), self.square / (1 - _BETAS[1] ** count)
        self.z = self.z.detach() - settings.learning_rate * mean / (square.sqrt() + _EPSILON)

    def keep(self, staying: Tensor) -> None:
        """Let the other images go."""
        for name in ("rows", "z", "mean", "square"):
            setattr(self, name, getattr(self, name).detach()[staying])


class _Log:
    """The best attempt of every image, and the way there."""

    def __init__(self, z: Tensor, x: Tensor, judged: Judgement, *, whole: bool) -> None:
        self.z, self.x = z.detach().clone(), x.detach().clone()
        self.judged = Judgement(*(column.detach().clone() for column in judged))
        self.steps = torch.zeros(len(z), dtype=torch.long, device=z.device)
        self.seen = [[point] for point in x.detach().unbind()]
        self.whole = whole

    def write(self, climbers: _Climbers, x: Tensor, judged: Judgement, count: int) -> None:
        """Take what is better, or the first that is met; count the step."""
        rows, x = climbers.rows, x.detach()
        self.steps[rows] = count
        better = (judged.gap < self.judged.gap[rows]) & ~self.judged.met[rows]
        index = rows[better]
        self.z[index], self.x[index] = climbers.z.detach()[better], x[better]
        for kept, new in zip(self.judged, judged, strict=True):
            kept[index] = new.detach()[better]
        if self.whole:
            for row, point in zip(rows.tolist(), x.unbind(), strict=True):
                self.seen[row].append(point)

    def climb(self) -> Climb:
        """The record."""
        ways = self.seen if self.whole else [[*way, end] for way, end in zip(self.seen, self.x.unbind(), strict=True)]
        return Climb(self.z, self.x, self.judged, self.steps, tuple(torch.stack(way) for way in ways))


def climb(
    view: View,
    model: Model,
    *,
    goal: AscentGoal,
    start: Float[Tensor, "n *latent"],
    settings: AscentSettings,
) -> Climb:
    r"""Lower the loss of every image from its latent until its goal is met.

    .. math:: z \leftarrow z - \lambda\, \nabla_z \Big[ \ell\big(f(g(z))\big) + \tfrac{w}{2} \lVert g(z) - g(z_0)
        \rVert^2 \Big]

    Images never mix: the gradient of a sum over the batch is that of each image alone, and Adam works elementwise. One
    whose loss or gradient is no longer finite leaves with the best it had.

    Args:
        view: ``view(z, rows)``, from latents to what the model sees, each alone; ``rows`` says of which images.
        model: From that to the answers.
        goal: What is asked.
        start: The latents of the images.
        settings: How to step.

    Returns:
        For each image the first attempt that met its goal, else the best.

    Example:
        >>> from counterflow.counterfactuals.latent_ascent_goals import DirectionAim
        >>> goal = DirectionAim(1, torch.zeros(1), change=1.0)
        >>> settings = AscentSettings(learning_rate=0.25, optimizer="gradient")
        >>> found = climb(lambda z, rows: z, lambda x: x[:, 0], goal=goal, start=torch.zeros(1, 2), settings=settings)
        >>> found.x, found.steps
        (tensor([[1., 0.]]), tensor([4]))
    """
    climbers = _Climbers(start.detach())
    log: Any = None
    anchor = torch.empty(0)
    for count in range(settings.max_steps + 1):
        z = climbers.z.requires_grad_()
        x = view(z, climbers.rows)
        judged = goal.judge(model(x), climbers.rows)
        if log is None:
            anchor, log = x.detach(), _Log(z, x, judged, whole=settings.keep_path)
        else:
            log.write(climbers, x, judged, count)
        if count == settings.max_steps or bool(judged.met.all()):
            break
        away = (x - anchor[climbers.rows]).square().flatten(1).sum(1)
        (gradient,) = torch.autograd.grad((judged.loss + settings.proximity / 2 * away).sum(), z)
        staying = ~judged.met & gradient.isfinite().flatten(1).all(1)
        climbers.step(gradient, count + 1, settings)
        climbers.keep(staying)
        if not len(climbers.rows):
            break
    return log.climb()
