"""How good are the images that latent ascent or an attack made? One record of all measures, image by image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError, ModelError, ShapeError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals.latent_ascent_answer import AscentAnswer
from counterflow.metrics import (
    Interval,
    bootstrap_interval,
    changed_pixels,
    gini_index,
    hoyer_sparsity,
    lp_distance,
    neighbor_target_share,
    paired_difference,
    roughness,
    wilson_interval,
)
from counterflow.models import Loan

__all__ = ["ImageEvaluation", "evaluate_images"]

_SHARES = ("neighbors_", "changed_pixels")


@dataclass(frozen=True, eq=False)
class ImageEvaluation:
    """Measures of changed images, one number or flag for each.

    Args:
        found: Which images were changed until the model answered as asked. The others are counted only here.
        values: The measures by name; see :func:`evaluate_images`.

    Example:
        >>> found = np.array([True, True, False])
        >>> one = ImageEvaluation(found, {"l2": np.array([1.0, 3.0, 9.0]), "agrees_svm": found})
        >>> one.summary()["l2"].value, one.summary()["agrees_svm"].value
        (2.0, 1.0)
    """

    found: Bool[np.ndarray, " n"]
    values: dict[str, Shaped[np.ndarray, " n"]]

    def summary(self, *, confidence: float = 0.95) -> dict[str, Interval]:
        """Summarize the images that were found, each figure with its interval.

        Flags become shares (Wilson), shares become means and other numbers medians (both bootstrapped). ``nan`` counts
        nowhere.

        Args:
            confidence: Of the intervals, in (0, 1).
        """
        summary = {"found": wilson_interval(int(self.found.sum()), len(self.found), confidence=confidence)}
        for name, values in self.values.items():
            summary[name] = _interval(name, values[self.found], confidence)
        return summary

    def difference(self, other: "ImageEvaluation", name: str, *, confidence: float = 0.95) -> Interval:
        """Compare a measure of the same images after two methods, over those that both changed as asked.

        Args:
            other: The measures of the other method, which are subtracted.
            name: A measure that both have; flags are compared as paired shares, numbers by the mean difference.
            confidence: Of the interval, in (0, 1).

        Raises:
            ShapeError: There are not as many images.
        """
        if self.found.shape != other.found.shape:
            raise ShapeError(f"both must have the same images, got {len(self.found)} and {len(other.found)}.")
        both = self.found & other.found
        first, second = self.values[name][both], other.values[name][both]
        if first.dtype == np.bool_:
            return paired_difference(first, second, confidence=confidence)
        gain = first - second
        return bootstrap_interval(gain[~np.isnan(gain)], confidence=confidence)


def evaluate_images(
    answer: AscentAnswer,
    target: Any = None,
    *,
    reference: Tensor | None = None,
    labels: Tensor | None = None,
    features: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    neighbors: int = 10,
    models: Mapping[str, Any] | None = None,
    densities: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    tolerance: float = 0.05,
    batch_size: int = 256,
) -> ImageEvaluation:
    """Measure changed images: how far, what kind of change, among which neighbors, and whether other models agree.

    ===================================== ==============================================================================
    measure                               meaning
    ===================================== ==============================================================================
    ``l1``, ``l2``, ``linf``              length of the change
    ``changed_pixels``                    :func:`~counterflow.metrics.changed_pixels`
    ``gini``, ``hoyer``                   :func:`~counterflow.metrics.gini_index`,
                                          :func:`~counterflow.metrics.hoyer_sparsity` of the change
    ``roughness``                         :func:`~counterflow.metrics.roughness`; only of images
    ``steps``, ``reconstruction_error``   as the answer has them
    ``neighbors_pixels``                  :func:`~counterflow.metrics.neighbor_target_share`, in pixels
    ``neighbors_<name>``                  the same in each of ``features``
    ``agrees_<name>``                     whether each of ``models`` calls the result the target: transfer
    ``log_density_<name>``                of the result under each of ``densities``
    ``log_density_<name>_before``         of the original
    ===================================== ==============================================================================

    Args:
        answer: The images.
        target: The class that was asked for, or one for each image; needed for neighbors and transfer.
        reference: Real images; best such that neither model nor generator saw.
        labels: Their true classes.
        features: From images to vectors (the last hidden layer of a classifier, say), by name.
        neighbors: How many nearest neighbors are looked at.
        models: Other classifiers by name: scikit-learn's (they see flattened pixels), or functions of images that
            answer classes, logits ``(n, classes)``, or one logit of the second of two classes.
        densities: Log-densities of images by name, for example ``{"flow": flow.log_prob}``.
        tolerance: The largest change of a pixel that counts as none.
        batch_size: How many images go through a function together.

    Returns:
        The record.

    Raises:
        ArgumentError: Neighbors or transfer are asked for without a target, or neighbors without labels.
        ShapeError: Reference images have another shape.
        ModelError: A model answers neither classes nor logits.

    Reference:
        Dombrowski, Gerken, Mueller, Kessel, "Diffeomorphic Counterfactuals with Generative Models", 2022, section 4.

    Example:
        >>> from counterflow.counterfactuals import input_ascent
        >>> answer = input_ascent(lambda x: x.sum(1), torch.zeros(1, 2), target=1, learning_rate=0.1)
        >>> found = evaluate_images(answer, 1, models={"other": lambda x: x[:, 0] - 9.0})
        >>> round(found.values["linf"].item(), 1), found.summary()["agrees_other"].value
        (2.3, 0.0)
    """
    asked = {"labels": reference, "target": models if reference is None else reference}
    for name, value in (("labels", labels), ("target", target)):
        if value is None and asked[name] is not None:
            raise ArgumentError(f"{name} must be given, got None: neighbors need both, transfer needs the target.")
    found = np.array([status is RowStatus.FOUND for status in answer.status])
    values = _changes(answer, tolerance)
    if reference is not None:
        share = partial(neighbor_target_share, labels=_array(labels), target=_array(target))
        for name, view in {"pixels": _pixels, **(features or {})}.items():
            mapped = [_batched(view, images, batch_size) for images in (answer.images, reference)]
            values[f"neighbors_{name}"] = share(*mapped, neighbors=neighbors)
    for name, model in (models or {}).items():
        classes = np.concatenate([_classes(name, model, part) for part in answer.images.split(batch_size)])
        values[f"agrees_{name}"] = classes == _array(target)
    for name, density in (densities or {}).items():
        values[f"log_density_{name}"] = _batched(density, answer.images, batch_size)
        values[f"log_density_{name}_before"] = _batched(density, answer.originals, batch_size)
    return ImageEvaluation(found, values)


def _changes(answer: AscentAnswer, tolerance: float) -> dict[str, np.ndarray]:
    """What tells of the change alone."""
    before, after = _array(answer.originals), _array(answer.images)
    rows = before.reshape(len(before), -1), after.reshape(len(after), -1)
    values = {name: lp_distance(*rows, p=p) for name, p in (("l1", 1), ("l2", 2), ("linf", np.inf))}
    values["changed_pixels"] = changed_pixels(before, after, tolerance=tolerance)
    values["gini"] = gini_index(after - before)
    values["hoyer"] = hoyer_sparsity(after - before)
    if before.ndim > 2:
        values["roughness"] = roughness(before, after)
    values["steps"] = _array(answer.steps).astype(np.float64)
    values["reconstruction_error"] = _array(answer.reconstruction_error)
    return values


def _classes(name: str, model: Any, images: Tensor) -> np.ndarray:
    """What a model calls images."""
    if not isinstance(model, nn.Module) and hasattr(model, "predict"):
        return np.asarray(model.predict(_array(_pixels(images))))
    said = _called(model, images)
    if said.dim() == 2 and said.shape[1] > 1:
        return _array(said.argmax(1))
    if said.shape not in ((len(images),), (len(images), 1)):
        raise ModelError(
            f"models[{name!r}] must answer classes ({len(images)},) or logits ({len(images)}, classes), "
            f"got shape {tuple(said.shape)}."
        )
    said = said.reshape(-1)
    return _array((said > 0).long() if said.is_floating_point() else said)


def _batched(function: Callable[[Tensor], Tensor], images: Tensor, size: int) -> np.ndarray:
    return _array(torch.cat([_called(function, part) for part in images.split(size)]))


@torch.no_grad()
def _called(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    with Loan(*([function] if isinstance(function, nn.Module) else [])):
        return torch.as_tensor(function(images))


def _pixels(images: Tensor) -> Tensor:
    return images.flatten(1)


def _array(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().numpy()


def _interval(name: str, values: np.ndarray, confidence: float) -> Interval:
    if values.dtype == np.bool_:
        return wilson_interval(int(values.sum()), len(values), confidence=confidence)
    statistic = "mean" if name.startswith(_SHARES) else "median"
    return bootstrap_interval(values[~np.isnan(values)], statistic, confidence=confidence)
