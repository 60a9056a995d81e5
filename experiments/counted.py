"""Pictures whose true count is known: does a counterfactual that shall show one disc more show one disc more?

    python -m experiments.counted --keep /tmp/counted

Gray pictures of 16 by 16 pixels hold 0 to 4 discs at random places, never touching, in noise. A network learns to
count them and a Glow learns their law; then pictures are changed, in the latent of the flow and in pixels, until the
network counts one more, three more, or one fewer. An exact counter, which knows no network (connected bright pieces
of at least half a disc's area), says what the pictures now truly hold; on originals it is never wrong. Trained weights
are kept in the folder named by ``--keep`` and used again from there.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from counterflow import flows
from counterflow.flows import Flow
from experiments.counting import COUNTERS, ask, compared, kept_counter, neighbor_counts, predict, sheet
from experiments.image_data import ImageSet, pixels
from experiments.image_models import Recipe, kept_flow
from experiments.tables import machine, results_path

__all__ = ["count_discs", "counted_set", "draw_discs"]

SIDE, MOST, RADIUS, GAP = 16, 4, 1.5, 2.0
_DARK, _BRIGHT, _NOISE, _LEVEL = 0.2, 0.8, 0.04, 0.5
_SMALLEST = 4  # pixels; a disc has about 7
_ROWS = (4_000, 500, 1_000)
_QUESTIONS = {"one_more": 1, "three_more": 3, "one_fewer": -1}
_CONFIDENCE = 0.9
_GLOW = {"levels": 2, "steps": 4, "hidden": (32, 32)}


def draw_discs(counts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw a picture for each count, bytes of shape (n, side, side): bright discs with soft edges that never touch."""
    rows, columns = np.indices((SIDE, SIDE))
    pictures = np.full((len(counts), SIDE, SIDE), _DARK)
    for picture, count in zip(pictures, counts, strict=True):
        for y, x in _places(int(count), random):
            cover = np.clip(RADIUS + 0.5 - np.hypot(rows - y, columns - x), 0, 1)
            picture += cover * (_BRIGHT - _DARK + random.uniform(-0.08, 0.08))
    noisy = pictures + _NOISE * random.standard_normal(pictures.shape)
    return (noisy * 256).clip(0, 255).astype(np.uint8)


def _places(count: int, random: np.random.Generator) -> list[np.ndarray]:
    """Centers that are far enough from each other, all tried anew when one finds no place."""
    while True:
        places: list[np.ndarray] = []
        for _ in range(20 * count):
            place = random.uniform(RADIUS + 1, SIDE - RADIUS - 2, 2)
            if len(places) < count and all(np.hypot(*(place - other)) > 2 * RADIUS + GAP for other in places):
                places.append(place)
        if len(places) == count:
            return places


def count_discs(x: Tensor) -> Tensor:
    """Count the bright pieces of pictures (n, 1, side, side) with values from 0 to 1: no network is asked."""
    return torch.tensor([_pieces(picture > _LEVEL) for picture in x[:, 0].numpy()], dtype=torch.float64)


def _pieces(bright: np.ndarray) -> int:
    marked, pieces = ndimage.label(bright, np.ones((3, 3)))
    areas = ndimage.sum_labels(bright, marked, range(1, pieces + 1))
    return int((np.asarray(areas) >= _SMALLEST).sum())


def counted_set(rows: tuple[int, int, int] = _ROWS, seed: int = 0) -> ImageSet:
    """Draw the pictures of training, validation and test."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, MOST + 1, sum(rows))
    return ImageSet(
        name="counted",
        images=torch.from_numpy(draw_discs(counts, random))[:, None],
        labels=torch.from_numpy(counts),
        fold=torch.from_numpy(np.repeat([0, 1, 2], rows)),
        classes=tuple(map(str, range(MOST + 1))),
    )


def kept_disc_flow(data: ImageSet, keep: Path, *, epochs: int = 20) -> tuple[Flow, dict]:
    """The Glow of the pictures, from its folder or trained now."""
    return kept_flow(data, keep, recipe=Recipe(_glow, epochs=epochs, batch=64, mirror=True, learning_rate=2e-3))


def _glow(shape: tuple[int, int, int], *, generator: torch.Generator) -> Flow:
    return flows.glow(shape, bounds=(0.0, 1.0), generator=generator, **_GLOW)


def hits(x: Tensor, target: Tensor, found: Tensor) -> dict[str, float]:
    """How often the exact count is what was asked, of all pictures and of those that the network was content with."""
    right = (count_discs(x) == target) & found
    return {"exactly_as_asked": float(right.double().mean()), "of_found": float(right[found].double().mean())}


def main() -> None:
    """Draw, train, ask, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    parser.add_argument("--epochs", type=int, default=20, help="of the flow")
    parser.add_argument("--pictures", type=int, default=48, help="for each question")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(options.keep, epochs=options.epochs, pictures=options.pictures)
    results_path("counted.json").write_text(json.dumps(result, indent=2) + "\n")


def measure(keep: Path, *, epochs: int, pictures: int) -> dict[str, object]:
    """All figures, and a sheet for each question."""
    data = counted_set()
    nets = {kind: kept_counter(data, keep, kind=kind, epochs=8, seconds=1200) for kind in COUNTERS}
    flow, of_flow = kept_disc_flow(data, keep, epochs=epochs)
    net, second = nets["density"][0], nets["strided"][0]
    witnesses = {
        "network": lambda x: predict(net, x),
        "second": lambda x: predict(second, x),
        "neighbors": neighbor_counts(data),
        "exact": count_discs,
    }
    images, counts = data.part(2)
    x = pixels(images)
    result = {
        "machine": machine(),
        "settings": {"side": SIDE, "most": MOST, "rows": _ROWS, "confidence": _CONFIDENCE, "glow": _GLOW},
        "flow": of_flow,
        "networks": {kind: notes for kind, (_, notes) in nets.items()},
        "exact_counter_right_on_test": float((count_discs(x) == counts).double().mean()),
        "discs_in_samples": _histogram(flow.sample(200, generator=torch.Generator().manual_seed(0))),
    }
    for question, change in _QUESTIONS.items():
        fitting = ((counts + change >= 0) & (counts + change <= MOST)).nonzero()[:pictures, 0]
        asked = (counts[fitting] + change).float()
        answers = ask(flow, net, x[fitting], asked, confidence=_CONFIDENCE)
        result[question] = compared(answers, flow, witnesses=witnesses)
        for name, answer in answers.items():
            result[question][name] |= hits(answer.images, asked, answer.found)
        print(question, json.dumps(result[question], indent=2), flush=True)
        title = f"Discs: {question.replace('_', ' ')}"
        sheet(answers, results_path(f"counted_{question}.png"), count=count_discs, title=title)
    return result


def _histogram(samples: Tensor) -> list[float]:
    """The share of samples with 0, 1, ... discs."""
    return (torch.bincount(count_discs(samples.detach()).long()) / len(samples)).tolist()


if __name__ == "__main__":
    main()
