"""How alike the counterfactuals of two generators are, and a sheet of them."""

from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from counterflow.counterfactuals import AscentAnswer

__all__ = ["alike", "correlation", "draw_sheet"]


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlate the changes of each picture over its pixels."""
    one, two = (change.flatten(1) - change.flatten(1).mean(1, keepdim=True) for change in (first, second))
    return (one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1))


def alike(answers: dict[str, AscentAnswer]) -> dict[str, dict[str, float]]:
    """For each pair, over pictures that both changed as asked: how changes correlate, and how far their ends are apart.

    The latter is the distance of both counterfactuals over the mean of their distances to the original: 0 for the same
    picture, about 1.4 for changes of one length at a right angle.
    """
    result = {}
    for (name, one), (other, two) in combinations(answers.items(), 2):
        both = one.found & two.found
        changes = [(answer.images - answer.originals)[both].flatten(1) for answer in (one, two)]
        home = (changes[0].norm(dim=1) + changes[1].norm(dim=1)) / 2
        apart = (changes[0] - changes[1]).norm(dim=1) / home
        result[f"{name} | {other}"] = {
            "pictures": int(both.sum()),
            "correlation": round(float(correlation(*changes).mean()), 4),
            "apart": round(float(apart.mean()), 4),
        }
    return result


def draw_sheet(answers: dict[str, AscentAnswer], path: Path, *, columns: int = 10) -> None:
    """Draw originals and the counterfactuals of each generator below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from counterflow import plotting
    from counterflow.plotting.tiles import sheet_size

    all_found = torch.stack([answer.found for answer in answers.values()]).all(0)
    rows = torch.where(all_found)[0][:columns]
    first = next(iter(answers.values()))
    images = torch.cat([first.originals[rows], *(answer.images[rows] for answer in answers.values())])
    names = ["original", *(name.replace("_", " ") for name in answers)]
    drawn, ax = plt.subplots(figsize=sheet_size(len(names), len(rows), cell=0.8))
    title = "4 to 9, at confidence 0.99"
    plotting.plot_images(images, columns=len(rows), row_names=names, title=title, limits=(0.0, 1.0), ax=ax)
    drawn.savefig(path, dpi=90, bbox_inches="tight")
    plt.close(drawn)
