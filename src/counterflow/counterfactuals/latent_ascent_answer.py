"""The answer of latent ascent: a record that says how each image ended."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals.latent_ascent_goals import Judgement
from counterflow.counterfactuals.latent_ascent_loop import Climb

__all__ = ["AscentAnswer", "ascent_answer"]


@dataclass(frozen=True, eq=False)
class AscentAnswer:
    """Images before and after, with what the model says of them.

    Images may be vectors too: whatever the generator decodes.

    Args:
        originals: The images as they came.
        images: The counterfactuals, as the model saw them; an image that failed holds the best attempt, one that was
            as desired is unchanged.
        reconstructions: What the generator makes of the latents of the originals: equal to them for a flow.
        latents: The latents of ``images``; for an image that was as desired, that of the original.
        original_probability: Of the target class, for ``originals``; ``nan`` for a regressor.
        original_prediction: The predicted class, or a regressor's value, for ``originals``.
        probability: Of the target class, for ``images``; ``nan`` for a regressor.
        prediction: The predicted class, or a regressor's value, for ``images``.
        steps: How many steps each image made.
        status: How each image ended: ``FOUND``, ``ALREADY_DESIRED`` or ``NOT_VALID``.
        path: For each image what the model saw: at the start and at the end, or at every step if it was kept.

    Example:
        >>> one, two = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
        >>> numbers = {"original_probability": 0.01, "original_prediction": 4.0, "probability": 0.99, "prediction": 9.0}
        >>> numbers = {name: torch.tensor([number]) for name, number in numbers.items()}
        >>> images = {"originals": one, "images": two, "reconstructions": one, "latents": two, "path": (one,)}
        >>> answer = AscentAnswer(**images, **numbers, steps=torch.tensor([7]), status=(RowStatus.FOUND,))
        >>> answer.heatmap
        tensor([[[3., 3.],
                 [3., 3.]]])
    """

    originals: Float[Tensor, "n *event"]
    images: Float[Tensor, "n *event"]
    reconstructions: Float[Tensor, "n *event"]
    latents: Float[Tensor, "n *latent"]
    original_probability: Float[Tensor, " n"]
    original_prediction: Float[Tensor, " n"]
    probability: Float[Tensor, " n"]
    prediction: Float[Tensor, " n"]
    steps: Int[Tensor, " n"]
    status: tuple[RowStatus, ...]
    path: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.status)

    @property
    def found(self) -> Bool[Tensor, " n"]:
        """Where the model answers as desired."""
        good = (RowStatus.FOUND, RowStatus.ALREADY_DESIRED)
        return torch.tensor([status in good for status in self.status], dtype=torch.bool)

    @property
    def heatmap(self) -> Float[Tensor, "n *map"]:
        """How much each pixel changed against the original, channels summed; each number, for vectors."""
        return _heatmap(self.images, self.originals)

    @property
    def reconstruction_heatmap(self) -> Float[Tensor, "n *map"]:
        """The same against the reconstruction: what the ascent changed, without what the generator lost before."""
        return _heatmap(self.images, self.reconstructions)

    @property
    def reconstruction_error(self) -> Float[Tensor, " n"]:
        """The root of the mean squared difference of each original and its reconstruction."""
        return (self.reconstructions - self.originals).square().flatten(1).mean(1).sqrt()


def ascent_answer(
    found: Climb, *, images: Float[Tensor, "n *event"], reconstructions: Float[Tensor, "n *event"], before: Judgement
) -> AscentAnswer:
    """Write down where images came to; those that were as desired before stay as they were.

    Args:
        found: Where they came to.
        images: The images as they came.
        reconstructions: What the generator makes of them.
        before: What the goal said of them.
    """
    done = before.met
    unchanged = done.view(-1, *[1] * (images.dim() - 1))
    return AscentAnswer(
        originals=images,
        images=torch.where(unchanged, images, found.x),
        reconstructions=reconstructions,
        latents=found.z,
        original_probability=before.probability,
        original_prediction=before.prediction,
        probability=torch.where(done, before.probability, found.judged.probability),
        prediction=torch.where(done, before.prediction, found.judged.prediction),
        steps=found.steps,
        status=tuple(_status(*row) for row in zip(done.tolist(), found.judged.gap.tolist(), strict=True)),
        path=tuple(
            image[None] if same else way
            for same, image, way in zip(done.tolist(), images.unbind(), found.path, strict=True)
        ),
    )


def _status(done: bool, gap: float) -> RowStatus:  # noqa: FBT001  two columns of a table
    if done:
        return RowStatus.ALREADY_DESIRED
    return RowStatus.FOUND if gap <= 0 else RowStatus.NOT_VALID


def _heatmap(after: Tensor, before: Tensor) -> Tensor:
    change = (after - before).abs()
    return change.sum(1) if change.dim() == 4 else change
