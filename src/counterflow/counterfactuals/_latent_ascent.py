"""Diffeomorphic counterfactuals: gradient ascent in the latent space of a generator, and the attack beside it."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_finite
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.counterfactuals.latent_ascent_answer import AscentAnswer, ascent_answer
from counterflow.counterfactuals.latent_ascent_goals import AscentGoal, Judgement, Output, Target, make_aim
from counterflow.counterfactuals.latent_ascent_loop import AscentSettings, climb
from counterflow.generators import Generator, Identity, Refines, as_generator
from counterflow.models import Loan

__all__ = ["input_ascent", "latent_ascent"]

Model = Callable[[Tensor], Tensor]
Optimizer = Literal["adam", "gradient"]


def latent_ascent(
    generator: Any,
    model: Model,
    images: Float[Tensor, "n *event"],
    target: Target,
    *,
    confidence: float = 0.99,
    learning_rate: float = 5e-2,
    max_steps: int = 2000,
    optimizer: Optimizer = "adam",
    output: Output = "logits",
    change: float | None = None,
    proximity: float = 0.0,
    clip: tuple[float, float] | None = None,
    refine: bool = False,
    keep_residual: bool = False,
    keep_path: bool = False,
    batch_size: int | None = None,
) -> AscentAnswer:
    r"""Change images until the model answers as asked, along what the generator knows of the data.

    .. math:: z_0 = e(x), \qquad z_{t+1} = z_t + \lambda\, \nabla_z \log p\big(y \mid g(z_t)\big), \qquad
        x' = g(z_T) \ \text{ with } \ p(y \mid x') \ge c

    There is no other term (unless ``proximity`` adds one): an image stays near because it starts where it is and stops
    as soon as the model is convinced. All images climb at once and each stops on its own. Model and generator are
    borrowed frozen and in evaluation mode, and given back as they came.

    Args:
        generator: A flow, an autoencoder, or anything with ``encode`` and ``decode``; see
            :func:`~counterflow.generators.as_generator`.
        model: From images to logits ``(n, classes)``, to one logit of the second of two classes, or to one value
            (a regressor); differentiable, each image alone.
        images: Images ``(n, channels, height, width)``, or vectors ``(n, features)``.
        target: A class or one for each image (whole numbers); for a regressor a value or one for each image (floats),
            ``"increase"`` or ``"decrease"``.
        confidence: The probability of the class at which an image stops, in (0, 1]; for a value, the share of the way
            from the first answer to it.
        learning_rate: Step length in the latent.
        max_steps: Steps after which an image stops in any case.
        optimizer: ``"adam"``, or ``"gradient"``, which obeys the theorem of :mod:`counterflow.geometry`.
        output: Whether a classifier answers ``"logits"`` or ``"probabilities"``.
        change: For a direction, by how much the answer shall change; ``None`` spends all steps.
        proximity: Weight of half the squared distance to the reconstruction of the image.
        clip: The range of pixels ``(low, high)``, to which decoded images are clipped before the model sees them.
        refine: Let a generator that can (:class:`~counterflow.generators.Refines`) improve the latents first.
        keep_residual: Carry along what the generator loses of an image: :math:`x' = g(z_T) + (x - g(z_0))`, clipped.
            The ascent then starts at the image itself, the model judges what is returned, and ``heatmap`` is the change
            of the decoding; but the answer lies off what the generator makes by as much as the image does.
        keep_path: Keep every step in ``answer.path``.
        batch_size: How many images climb together; ``None`` for all.

    Returns:
        The record.

    Raises:
        ArgumentError: A setting is out of its range, or the target does not fit the images or the model.
        ShapeError: The images are no batch, or the generator gives back another shape.
        ModelError: The model's answer has another shape than was said.

    Reference:
        Dombrowski, Gerken, Mueller, Kessel, "Diffeomorphic Counterfactuals with Generative Models", 2022, section 2.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=torch.tensor([1.0, 0.01])))  # a narrow ridge
        >>> settings = {"optimizer": "gradient", "learning_rate": 1.0}
        >>> answer = latent_ascent(flow, lambda x: x.sum(1), torch.zeros(1, 2), 1, **settings)
        >>> answer.status[0].value, [round(number, 2) for number in answer.images[0].tolist()]
        ('found', [4.6, 0.0])
    """
    settings = AscentSettings(
        learning_rate=learning_rate,
        max_steps=max_steps,
        optimizer=optimizer,
        proximity=proximity,
        keep_path=keep_path,
    )
    coder = as_generator(generator)
    _check(images, confidence=confidence, output=output, clip=clip, change=change)
    steps = _Steps(settings, coder, clip=clip, refine=refine, keep_residual=keep_residual)
    with Loan(*(part for part in (generator, coder, model) if isinstance(part, nn.Module))):
        answers = []
        for part, wanted in _batches(images, target, batch_size):
            with torch.no_grad():
                first = model(steps.clipped(part))
            goal = make_aim(wanted, first, confidence=confidence, change=change, output=output)
            answers.append(steps.ascend(model, part, first=first, goal=goal))
    return _joined(answers)


def input_ascent(
    model: Model,
    images: Float[Tensor, "n *event"],
    *,
    target: Target,
    confidence: float = 0.99,
    learning_rate: float = 5e-4,
    max_steps: int = 2000,
    optimizer: Optimizer = "adam",
    output: Output = "logits",
    change: float | None = None,
    proximity: float = 0.0,
    clip: tuple[float, float] | None = None,
    keep_path: bool = False,
    batch_size: int | None = None,
) -> AscentAnswer:
    r"""Change pixels until the model answers as asked: the adversarial attack that latent ascent is compared with.

    .. math:: x_{t+1} = x_t + \lambda\, \nabla_x \log p(y \mid x_t)

    It is :func:`latent_ascent` with the identity for a generator; arguments and record are the same.

    Reference:
        Szegedy et al., "Intriguing properties of neural networks", 2014, for what it finds.

    Example:
        >>> answer = input_ascent(lambda x: x.sum(1), torch.zeros(1, 2), target=1, learning_rate=0.1)
        >>> [round(number, 1) for number in answer.images[0].tolist()]
        [2.3, 2.3]
    """
    return latent_ascent(
        Identity(),
        model,
        images,
        target,
        confidence=confidence,
        learning_rate=learning_rate,
        max_steps=max_steps,
        optimizer=optimizer,
        output=output,
        change=change,
        proximity=proximity,
        clip=clip,
        keep_path=keep_path,
        batch_size=batch_size,
    )


class _Steps:
    """How images are encoded, decoded and shown to the model, and how they climb."""

    def __init__(
        self,
        settings: AscentSettings,
        generator: Generator,
        *,
        clip: tuple[float, float] | None,
        refine: bool,
        keep_residual: bool,
    ) -> None:
        self.settings, self.generator, self.limits = settings, generator, clip
        self.refine, self.keep_residual = refine, keep_residual

    def clipped(self, x: Tensor) -> Tensor:
        return x if self.limits is None else x.clamp(*self.limits)

    def start(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The latents of images, and what is decoded of them."""
        z = self.generator.encode(images).detach()
        if self.refine and isinstance(self.generator, Refines):
            z = self.generator.refine(images, z).detach()
        with torch.no_grad():
            reconstructions = self.generator.decode(z)
        if reconstructions.shape != images.shape:
            raise ShapeError(
                f"the generator must decode images of shape {tuple(images.shape)}, got {tuple(reconstructions.shape)}. "
                "Give it images of the shape it was made for."
            )
        return z, reconstructions

    def ascend(self, model: Model, images: Tensor, *, first: Tensor, goal: AscentGoal) -> AscentAnswer:
        """Let the images climb that are not as desired from the start."""
        before = goal.judge(first, torch.arange(len(images), device=images.device))
        start, reconstructions = self.start(images)
        residual = images - reconstructions if self.keep_residual else None

        def view(z: Tensor, rows: Tensor) -> Tensor:
            x = self.generator.decode(z)
            return self.clipped(x if residual is None else x + residual[rows])

        found = climb(view, model, goal=_Unless(goal, before.met), start=start, settings=self.settings)
        return ascent_answer(found, images=images, reconstructions=reconstructions, before=before)


class _Unless:
    """A goal that is met at once for the images that were as desired before."""

    def __init__(self, goal: AscentGoal, done: Tensor) -> None:
        self.goal, self.done = goal, done

    def judge(self, answers: Tensor, rows: Tensor) -> Judgement:
        judged = self.goal.judge(answers, rows)
        return judged._replace(met=judged.met | self.done[rows])


def _batches(images: Tensor, target: Target, size: int | None) -> list[tuple[Tensor, Target]]:
    """Images with their targets, so many at a time."""
    if size is None or isinstance(target, str) or torch.as_tensor(target).dim() == 0:
        return [(part, target) for part in images.split(size or len(images))]
    wanted = torch.as_tensor(target)
    if wanted.shape != images.shape[:1]:
        raise ArgumentError(f"target must be one for each of {len(images)} images, got shape {tuple(wanted.shape)}.")
    return list(zip(images.split(size), wanted.split(size), strict=True))


def _joined(answers: list[AscentAnswer]) -> AscentAnswer:
    """The record of all batches."""
    columns = {}
    for name in AscentAnswer.__dataclass_fields__:
        values = [getattr(answer, name) for answer in answers]
        columns[name] = (
            torch.cat(values) if isinstance(values[0], Tensor) else tuple(v for part in values for v in part)
        )
    return AscentAnswer(**columns)


def _check(
    images: Tensor, *, confidence: float, output: str, clip: tuple[float, float] | None, change: float | None
) -> None:
    if images.dim() < 2 or not len(images):
        raise ShapeError(
            f"images must have shape (n, channels, height, width) or (n, features), got {tuple(images.shape)}. "
            "For one image pass image[None]."
        )
    check_finite(images, "images")
    if not 0 < confidence <= 1:
        raise ArgumentError(f"confidence must be above 0 and at most 1, got {confidence}. Choose 0.99, for example.")
    if output not in ("logits", "probabilities"):
        raise ArgumentError(f"output must be 'logits' or 'probabilities', got {output!r}. Choose one of these.")
    if clip is not None and not clip[0] < clip[1]:
        raise ArgumentError(f"clip must be (low, high) with low < high, got {clip}. For pixels use (0.0, 1.0).")
    if change is not None and not change > 0:
        raise ArgumentError(f"change must be above 0, got {change}. Its sign is that of the direction.")
