"""More people, fewer people: counterfactuals of networks that count, on UCSD's walkway and ShanghaiTech's streets.

    python -m experiments.crowd ucsd --keep /tmp/crowd
    python -m experiments.crowd shanghaitech --keep /tmp/crowd

The pictures are gray, with 5 bits a pixel. UCSD's frames are halved to 40 by 60 pixels, in the standard split: frames
601 to 1400 are learned (the flow learns the first 700 of them), the others tested. ShanghaiTech's pictures of 96 by 128
pixels are cut into twelve tiles of 32 by 32, each with the number of heads in it. A network learns to count (a small
U-Net whose map is summed); the outside witness is a ridge regression on pixels (UCSD) or a forest on edges
(ShanghaiTech); a Glow learns the law of the pictures. Then test pictures are changed, in the latent of the flow and in
pixels, until the network counts ten more or ten fewer (UCSD), or ten where there was nobody and nobody where there were
ten (ShanghaiTech). This copy of UCSD's frames has outlines drawn around groups and counts printed in a corner: the
ridge never sees that corner, and the network is tried with it painted over. No picture of people is written to
``experiments/results``; sheets go into the folder ``--keep``.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import Tensor

from counterflow import flows
from counterflow.bijections import Affine, Chain
from counterflow.flows import Flow
from counterflow.training import fit
from experiments.counting import ask, compared, kept_counter, neighbor_counts, predict, sheet
from experiments.image_data import ImageSet, dequantize, pixels
from experiments.image_models import Recipe, kept_flow, mean_bits
from experiments.tables import all_data, machine, results_path

__all__ = ["SETS", "shanghaitech_tiles", "tile_counts", "ucsd_frames"]

_BITS, _CONFIDENCE = 5, 0.9
_TILE, _ACROSS, _DOWN = 32, 4, 3
_PRINT = (slice(None), slice(None), slice(0, 11), slice(0, 40))  # where UCSD's frames hold words and numbers


def ucsd_frames() -> ImageSet:
    """UCSD's frames, halved, with everybody who is annotated."""
    found = np.load(all_data() / "crowd/ucsd_ped_80x120.npz")
    images = np.concatenate([found["train"], found["test"]])
    halved = images.reshape(-1, 40, 2, 60, 2).mean((2, 4)).round().astype(np.uint8)
    counts = np.concatenate([found["train_count_all"], found["test_count_all"]])
    return _made("ucsd", halved, counts, np.repeat([0, 1, 2], [700, 100, 1200]))


def shanghaitech_tiles() -> ImageSet:
    """ShanghaiTech's part B in tiles, twelve a picture, with the heads in each."""
    found = np.load(all_data() / "crowd/shanghaitech_B_96x128.npz")
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
    """A set and how it is treated.

    Args:
        read: What reads it.
        questions: From true and predicted counts to the pictures that are asked about, and the counts that are asked.
        flow: What trains its flow.
        counter_epochs: Of the network.
        mirror: Whether pictures are mirrored at random.
        pieces: Into how many tiles a picture was cut.
        outside: A counter that is no network.
    """

    read: Callable[[], ImageSet]
    questions: Callable[[Tensor, Tensor], dict[str, tuple[Tensor, Tensor]]]
    flow: Callable[[ImageSet, Path], tuple[Flow, dict]]
    counter_epochs: int
    mirror: bool
    pieces: int
    outside: Any


SETS = {
    "ucsd": Crowd(
        read=ucsd_frames,
        questions=_ten_more_or_fewer,
        flow=kept_scene_flow,
        counter_epochs=12,
        mirror=False,
        pieces=1,
        outside=make_pipeline(
            FunctionTransformer(lambda x: flat(unprinted(x))), StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))
        ),
    ),
    "shanghaitech": Crowd(
        read=shanghaitech_tiles,
        questions=_ten_or_nobody,
        flow=kept_tile_flow,
        counter_epochs=5,
        mirror=True,
        pieces=_DOWN * _ACROSS,
        outside=make_pipeline(
            FunctionTransformer(lambda x: squares(x)),
            ExtraTreesRegressor(50, min_samples_leaf=2, max_features=0.2, random_state=0),
        ),
    ),
}
"""Each set by its name."""


def _errors(said: Tensor, counts: Tensor, *, pieces: int) -> dict[str, float]:
    """Errors of whole test pictures, the pieces of each summed."""
    miss = (said - counts).reshape(-1, pieces).sum(1)
    return {"picture_mae": float(miss.abs().mean()), "picture_rmse": float(miss.square().mean().sqrt())}


def main() -> None:
    """Train, ask, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(SETS))
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights and of sheets")
    parser.add_argument("--pictures", type=int, default=24, help="for each question")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result, path = measure(SETS[options.name], options.keep, pictures=options.pictures), results_path("crowd.json")
    results = (json.loads(path.read_text()) if path.exists() else {}) | {options.name: result}
    path.write_text(json.dumps(results, indent=2) + "\n")


def measure(crowd: Crowd, keep: Path, *, pictures: int) -> dict[str, object]:
    """All figures of a set."""
    data = crowd.read()
    net, notes = kept_counter(
        data, keep, kind="density", epochs=crowd.counter_epochs, seconds=2400, mirror=crowd.mirror
    )  # fmt: skip
    flow, of_flow = crowd.flow(data, keep)
    outside = outside_counter(crowd.outside, data)
    images, counts = data.part(2)
    x = pixels(images, bits=data.bits)
    said = predict(net, x)
    witnesses = {"network": lambda x: predict(net, x), "outside": outside, "neighbors": neighbor_counts(data)}
    result = {
        "machine": machine(),
        "settings": {"bits": _BITS, "confidence": _CONFIDENCE, "flow": of_flow},
        "network": {**notes, **_errors(said, counts, pieces=crowd.pieces)},
        "outside": {"what": type(crowd.outside[-1]).__name__, **_errors(outside(x), counts, pieces=crowd.pieces)},
    }
    if data.name == "ucsd":
        painted = painted_over(x, pixels(data.part(0)[0], bits=data.bits))
        result["network_with_print_painted_over"] = _errors(predict(net, painted), counts, pieces=1)
    print(json.dumps(result), flush=True)
    for question, (rows, wanted) in crowd.questions(counts, said).items():
        spread = torch.linspace(0, len(rows) - 1, min(pictures, len(rows))).long()
        answers = ask(flow, net, x[rows[spread]], wanted[spread].float(), confidence=_CONFIDENCE)
        result[question] = compared(answers, flow, witnesses=witnesses)
        print(question, json.dumps(result[question], indent=2), flush=True)
        path, title = keep / data.name / f"{question}.png", f"{data.name}: {question}"
        sheet(answers, path, count=witnesses["network"], title=title)
    return result


def outside_counter(model: Any, data: ImageSet) -> Callable[[Tensor], Tensor]:
    """Fit a counter that is no network to the frames of training."""
    learned = data.fold < 2
    model.fit(pixels(data.images[learned], bits=data.bits).numpy(), data.labels[learned].double().numpy())
    return lambda x: torch.from_numpy(model.predict(x.numpy()))


def flat(x: np.ndarray) -> np.ndarray:
    """Pictures as rows of pixels."""
    return x.reshape(len(x), -1)


def unprinted(x: np.ndarray) -> np.ndarray:
    """UCSD's frames without the corner in which this copy of them prints counts."""
    kept = x.copy()
    kept[_PRINT] = 0
    return kept


def painted_over(x: Tensor, learned: Tensor) -> Tensor:
    """UCSD's frames with the median frame of training in that corner."""
    painted = x.clone()
    painted[_PRINT] = learned.median(0, keepdim=True).values.expand_as(x)[_PRINT]
    return painted


def squares(x: np.ndarray) -> np.ndarray:
    """Brightness, and steps between pixels down and across, averaged over squares of 4 and of 16 pixels a side."""
    x = x[:, 0]
    views = [x, *(np.abs(np.diff(x, axis=axis, append=np.take(x, [-1], axis))) for axis in (1, 2))]
    return np.concatenate([_pooled(view, side) for side in (4, 16) for view in views], axis=1)


def _pooled(x: np.ndarray, side: int) -> np.ndarray:
    n, height, width = x.shape
    return flat(x.reshape(n, height // side, side, width // side, side).mean((2, 4)))


if __name__ == "__main__":
    main()
