"""More people, fewer people: counterfactuals of networks that count, on UCSD's walkway and ShanghaiTech's streets.

    python -m experiments.crowd ucsd --keep /tmp/crowd
    python -m experiments.crowd shanghaitech --keep /tmp/crowd

The pictures are gray, with 5 bits a pixel. UCSD's frames are halved to 40 by 60 pixels, in the standard split: frames
601 to 1400 are learned (the flow learns the first 700 of them), the others tested. ShanghaiTech's pictures of 96 by 128
pixels are cut into twelve tiles of 32 by 32, each with the number of heads in it. A network learns to count (a small
U-Net whose map is summed), a second of another shape is the outside witness, and a Glow learns the law of the pictures.
Then test pictures are changed, in the latent of the flow and in pixels, until the network counts ten more or ten fewer
(UCSD), or ten where there was nobody and nobody where there were ten (ShanghaiTech). No picture of people is written to
``experiments/results``; sheets go into the folder ``--keep``.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows
from counterflow.bijections import Affine, Chain
from counterflow.flows import Flow
from counterflow.training import fit
from experiments.counting import COUNTERS, ask, compared, kept_counter, neighbor_counts, predict, sheet
from experiments.image_data import ImageSet, dequantize, image_folder, pixels
from experiments.image_models import Recipe, kept_flow, mean_bits
from experiments.tables import machine, results_path

__all__ = ["SETS", "shanghaitech_tiles", "tile_counts", "ucsd_frames"]

_BITS, _CONFIDENCE = 5, 0.9
_TILE, _ACROSS, _DOWN = 32, 4, 3


def ucsd_frames() -> ImageSet:
    """UCSD's frames, halved, with everybody who is annotated."""
    found = np.load(image_folder() / "crowd/ucsd_ped_80x120.npz")
    images = np.concatenate([found["train"], found["test"]])
    halved = images.reshape(-1, 40, 2, 60, 2).mean((2, 4)).round().astype(np.uint8)
    counts = np.concatenate([found["train_count_all"], found["test_count_all"]])
    return _made("ucsd", halved, counts, np.repeat([0, 1, 2], [700, 100, 1200]))


def shanghaitech_tiles() -> ImageSet:
    """ShanghaiTech's part B in tiles, twelve a picture, with the heads in each."""
    found = np.load(image_folder() / "crowd/shanghaitech_B_96x128.npz")
    tiles, counts, parts = [], [], []
    for fold, name in ((0, "train"), (2, "test")):
        images = found[f"{name}_x"].reshape(-1, _DOWN, _TILE, _ACROSS, _TILE).transpose(0, 1, 3, 2, 4)
        tiles.append(images.reshape(-1, _TILE, _TILE))
        counts.append(tile_counts(found[f"{name}_heads"], found[f"{name}_count"]))
        parts.append(np.full(len(tiles[-1]), fold))
    fold = np.concatenate(parts)
    fold[360 * _DOWN * _ACROSS : 400 * _DOWN * _ACROSS] = 1  # whole pictures stop the flow's training
    return _made("shanghaitech", np.concatenate(tiles), np.concatenate(counts), fold)


def tile_counts(heads: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How many heads (x, y) are in each tile, picture by picture, row by row."""
    picture = np.repeat(np.arange(len(counts)), counts)
    x, y = (heads.astype(np.float64).T // _TILE).astype(int)
    tile = y.clip(0, _DOWN - 1) * _ACROSS + x.clip(0, _ACROSS - 1)
    return np.bincount(picture * _DOWN * _ACROSS + tile, minlength=len(counts) * _DOWN * _ACROSS)


def _made(name: str, images: np.ndarray, counts: np.ndarray, fold: np.ndarray) -> ImageSet:
    return ImageSet(
        name=name,
        images=torch.from_numpy(np.ascontiguousarray(images))[:, None],
        labels=torch.from_numpy(counts.astype(np.int64)),
        fold=torch.from_numpy(fold.astype(np.int64)),
        classes=("count",),
        bits=_BITS,
    )


def kept_scene_flow(data: ImageSet, keep: Path, *, epochs: int = 16, seed: int = 0) -> tuple[Flow, dict]:
    """A Glow of one scene, from its folder or trained now.

    After the logit every pixel is normalized on its own, by its mean and deviation over the frames of training, as the
    background never moves; a Glow alone would have to learn where it is.
    """
    path, generator = keep / data.name / "flow.safetensors", torch.Generator().manual_seed(seed)
    flow = _scene_glow(dequantize(data.part(0)[0], generator, bits=data.bits), generator)
    if path.exists():
        flow.load_state_dict(load_file(path))
        return flow.eval(), json.loads(path.with_suffix(".json").read_text())
    report = fit(
        flow,
        data.part(0)[0],
        validation=(data.part(1)[0], None),
        max_epochs=epochs,
        patience=epochs,
        batch_size=32,
        clip=200.0,
        compile=False,
        precision="mixed",
        generator=generator,
        augment=lambda images, generator: (dequantize(images, generator, bits=data.bits), 0.0),
        progress=False,
        on_epoch=lambda record: print(data.name, record, flush=True),
    )
    notes = {"bits": mean_bits(flow, data, rows=300), "epochs": report.epochs, "seconds": report.seconds}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in flow.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(notes))
    return flow, notes


def _scene_glow(x: Tensor, generator: torch.Generator) -> Flow:
    shape = (x.shape[1], x.shape[2], x.shape[3])
    glow = flows.glow(shape, levels=2, steps=4, hidden=(32, 32), bounds=(0.0, 1.0), generator=generator)
    logit, *body = glow.bijection.parts
    y = logit.to_latent(x)[0]
    return Flow(Chain([logit, Affine(shape, shift=y.mean(0), scale=y.std(0)), *body]), glow.base)


def kept_tile_flow(data: ImageSet, keep: Path) -> tuple[Flow, dict]:
    """A Glow of tiles, from its folder or trained now."""
    return kept_flow(data, keep, recipe=Recipe(_tile_glow, epochs=5, batch=64, mirror=True))


def _tile_glow(shape: tuple[int, int, int], *, generator: torch.Generator) -> Flow:
    return flows.glow(shape, levels=3, steps=4, hidden=(32, 32), bounds=(0.0, 1.0), generator=generator)


def _ten_more_or_fewer(counts: Tensor, said: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Frames with few and with many people, spread over the film, and ten more or fewer than the network counts."""
    few, many = (counts <= 24).nonzero()[:, 0], (counts >= 26).nonzero()[:, 0]
    return {"more": (few, said[few] + 10), "fewer": (many, said[many] - 10)}


def _ten_or_nobody(counts: Tensor, said: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Tiles without people, and tiles with 10 to 30."""
    none, ten = ((counts == 0) & (said < 2)).nonzero()[:, 0], ((counts >= 10) & (counts <= 30)).nonzero()[:, 0]
    return {"more": (none, torch.full_like(said[none], 10)), "fewer": (ten, torch.zeros_like(said[ten]))}


@dataclass(frozen=True)
class Crowd:
    """A set and how it is treated: what it is read by, what is asked, the flow, and how long all is trained."""

    read: Callable[[], ImageSet]
    questions: Callable[[Tensor, Tensor], dict[str, tuple[Tensor, Tensor]]]
    flow: Callable[[ImageSet, Path], tuple[Flow, dict]]
    counter_epochs: int
    mirror: bool


SETS = {
    "ucsd": Crowd(ucsd_frames, _ten_more_or_fewer, kept_scene_flow, counter_epochs=12, mirror=False),
    "shanghaitech": Crowd(shanghaitech_tiles, _ten_or_nobody, kept_tile_flow, counter_epochs=5, mirror=True),
}
"""Each set by its name."""


def whole_pictures(net: nn.Module, data: ImageSet) -> dict[str, float]:
    """Errors of whole test pictures, the tiles of each summed."""
    images, counts = data.part(2)
    pieces = _DOWN * _ACROSS
    miss = (predict(net, pixels(images, bits=data.bits)) - counts).reshape(-1, pieces).sum(1)
    return {"whole_mae": float(miss.abs().mean()), "whole_rmse": float(miss.square().mean().sqrt())}


def main() -> None:
    """Train, ask, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(SETS))
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights and of sheets")
    parser.add_argument("--pictures", type=int, default=24, help="for each question")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = results_path("crowd.json")
    results = json.loads(path.read_text()) if path.exists() else {}
    results[options.name] = measure(SETS[options.name], options.keep, pictures=options.pictures)
    path.write_text(json.dumps(results, indent=2) + "\n")


def measure(crowd: Crowd, keep: Path, *, pictures: int) -> dict[str, object]:
    """All figures of a set."""
    data = crowd.read()
    settings = {"epochs": crowd.counter_epochs, "seconds": 2400, "mirror": crowd.mirror}
    nets = {kind: kept_counter(data, keep, kind=kind, **settings) for kind in COUNTERS}
    if data.name == "shanghaitech":
        nets = {kind: (net, {**notes, **whole_pictures(net, data)}) for kind, (net, notes) in nets.items()}
    notes = {kind: notes for kind, (_, notes) in nets.items()}
    print(json.dumps(notes), flush=True)
    flow, of_flow = crowd.flow(data, keep)
    result = {"machine": machine(), "bits": _BITS, "confidence": _CONFIDENCE, "networks": notes, "flow": of_flow}
    net, second = nets["density"][0], nets["strided"][0]
    witnesses = {
        "network": lambda x: predict(net, x),
        "second": lambda x: predict(second, x),
        "neighbors": neighbor_counts(data),
    }
    images, counts = data.part(2)
    x = pixels(images, bits=data.bits)
    for question, (rows, wanted) in crowd.questions(counts, predict(net, x)).items():
        spread = torch.linspace(0, len(rows) - 1, min(pictures, len(rows))).long()
        answers = ask(flow, net, x[rows[spread]], wanted[spread].float(), confidence=_CONFIDENCE)
        result[question] = compared(answers, flow, witnesses=witnesses)
        print(question, json.dumps(result[question], indent=2), flush=True)
        path, title = keep / data.name / f"{question}.png", f"{data.name}: {question}"
        sheet(answers, path, count=witnesses["network"], title=title)
    return result


if __name__ == "__main__":
    main()
