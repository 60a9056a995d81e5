"""Counterfactuals by abduction, action and prediction: what an image would be, had it another class."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count, check_finite, check_positive
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.counterfactuals.latent_ascent_answer import AscentAnswer, ascent_answer
from counterflow.counterfactuals.latent_ascent_goals import AscentGoal, Judgement, Output, Target, make_aim
from counterflow.counterfactuals.latent_ascent_loop import Climb
from counterflow.flows import Flow, change_context
from counterflow.generators import as_generator
from counterflow.models import Loan

__all__ = ["context_change"]

_HALVINGS = 12

Model = Callable[[Tensor], Tensor]
View = Callable[[Tensor], Tensor]


def context_change(
    generator: Any,
    flow: Flow,
    *,
    model: Model,
    images: Float[Tensor, "n *event"],
    before: Float[Tensor, "*rows c"],
    after: Float[Tensor, "*others c"],
    target: Target,
    confidence: float = 0.99,
    most: float = 1.0,
    steps: int = 20,
    output: Output = "logits",
    change: float | None = None,
    clip: tuple[float, float] | None = None,
    keep_residual: bool = False,
) -> AscentAnswer:
    r"""Change what images are said to be, in the latents of a generator, no farther than the model needs.

    .. math:: z_s = e(x) + s\,\Big(f^{-1}\big(f(e(x); c); c'\big) - e(x)\Big), \qquad
        x' = g(z_s) \ \text{ for the least } s \text{ with } \ p(y \mid x') \ge \text{confidence}

    No gradient of the model is asked for: the way is that of the flow, :func:`~counterflow.flows.change_context`, and
    the model only says where on it to stop. So the answer cannot be an adversarial example that the model alone would
    take for the class.

    Args:
        generator: A flow, an autoencoder, or anything with ``encode`` and ``decode``, such as a
            :class:`~counterflow.latent.LatentFlow`.
        flow: A conditional flow of its latents, laid out as vectors if the flow is one of vectors.
        model: As in :func:`latent_ascent`; it need not be differentiable.
        images: Images ``(n, channels, height, width)``, or vectors ``(n, features)``.
        before: The context of the images as they are.
        after: The context that they get.
        target: As in :func:`latent_ascent`.
        confidence: The same.
        most: The largest s.
        steps: How many are tried on the way there; between the last that does not do and the first that does, s is
            found by halving.
        output: Whether a classifier answers ``"logits"`` or ``"probabilities"``.
        change: For a direction, by how much a regressor's answer shall change; ``None`` goes all the way.
        clip: The range of pixels, to which decoded images are clipped before the model sees them.
        keep_residual: Carry along what the generator loses of an image: :math:`x' = g(z_s) + x - g(z_0)`.

    Returns:
        The record, as that of latent ascent; ``steps`` counts what was tried until the first that did.

    Raises:
        ArgumentError: A setting is out of its range, or the target does not fit the images or the model.
        ShapeError: The images are no batch, or the generator gives back another shape.
        ModelError: The model's answer has another shape than was said.

    Reference:
        Pearl, "Causality", 2nd edition, 2009, theorem 7.1.7; Wielopolski, Koperski, Zieba, "Flow Plugin Network for
        Conditional Generation", 2021, for latents of an autoencoder.

    Example:
        >>> from counterflow import bijections, flows
        >>> from counterflow.generators import Identity
        >>> layer = bijections.Whitening(2, context_features=1)
        >>> _ = nn.init.constant_(layer.slope, 4.0)  # x = 4 c + noise
        >>> flow, zero, one = flows.compose(layer), torch.zeros(1), torch.ones(1)
        >>> answer = context_change(Identity(), flow, model=lambda x: x.sum(1), images=torch.tensor([[0.5, -0.5]]),
        ...                         before=zero, after=one, target=1, confidence=0.9)
        >>> [round(number, 1) for number in answer.images[0].tolist()]  # half of the sum moved each, and no more
        [1.6, 0.6]
    """
    _check(images, confidence=confidence, most=most, steps=steps)
    coder = as_generator(generator)
    with torch.no_grad(), Loan(*(part for part in (generator, coder, model, flow) if isinstance(part, nn.Module))):
        z = coder.encode(images)
        flat = z.reshape(len(z), *flow.event_shape)
        end = change_context(flow, flat, before=before, after=after, strength=most).view_as(z)
        reconstructions = coder.decode(z)
        if reconstructions.shape != images.shape:
            raise ShapeError(
                f"the generator must decode images of shape {tuple(images.shape)}, got {tuple(reconstructions.shape)}."
            )
        lost = images - reconstructions if keep_residual else torch.zeros_like(images)

        def clipped(x: Tensor) -> Tensor:
            return x if clip is None else x.clamp(*clip)

        def at(shares: Tensor) -> tuple[Tensor, Tensor]:
            moved = torch.lerp(z, end, shares.to(z).view(-1, *[1] * (z.dim() - 1)))
            return moved, clipped(coder.decode(moved) + lost)

        first = model(clipped(images))
        goal = make_aim(target, first, confidence=confidence, change=change, output=output)
        everyone = torch.arange(len(images), device=images.device)
        found = _least(at, model, goal=goal, rows=everyone, steps=steps)
        return ascent_answer(found, images=images, reconstructions=reconstructions, before=goal.judge(first, everyone))


def _least(
    at: Callable[[Tensor], tuple[Tensor, Tensor]], model: Model, *, goal: AscentGoal, rows: Tensor, steps: int
) -> Climb:
    """For each image the least share of the way at which its goal is met, else the best that was tried."""

    def judged(shares: Tensor) -> Judgement:
        return goal.judge(model(at(shares)[1]), rows)

    tried = torch.linspace(0, 1, steps + 1, device=rows.device)
    record = [judged(share.expand(len(rows))) for share in tried]
    met, gap = torch.stack([one.met for one in record]), torch.stack([one.gap for one in record])
    place = torch.where(met.any(0), met.int().argmax(0), gap.argmin(0))
    high, low = tried[place], tried[(place - 1).clamp(min=0)]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        good = judged(middle).met
        low, high = torch.where(good | ~met.any(0), low, middle), torch.where(good, middle, high)
    z, x = at(high)
    steps_made = torch.where(met.any(0), place, steps)
    ends = zip(at(torch.zeros_like(high))[1], x, strict=True)
    return Climb(z, x, goal.judge(model(x), rows), steps_made, tuple(torch.stack(pair) for pair in ends))


def _check(images: Tensor, *, confidence: float, most: float, steps: int) -> None:
    if images.dim() < 2 or not len(images):
        raise ShapeError(
            f"images must have shape (n, channels, height, width) or (n, features), got {tuple(images.shape)}. "
            "For one image pass image[None]."
        )
    check_finite(images, "images")
    check_positive(most, "most")
    check_count(steps, "steps")
    if not 0 < confidence <= 1:
        raise ArgumentError(f"confidence must be above 0 and at most 1, got {confidence}. Choose 0.99, for example.")
