"""``counterflow images fit``: learn the density of images."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterflow.cli.fit import CHECKPOINT, clear
from counterflow.cli.image_files import read_images
from counterflow.cli.parsing import check_folder
from counterflow.cli.screen import show, tell
from counterflow.core.errors import ArgumentError, PersistenceError

if TYPE_CHECKING:
    import counterflow.estimators

__all__ = ["RECORD", "fit"]

RECORD = "images.json"
"""What ``fit`` writes beside the flow about how images were read."""

_DEPTH = {"glow": "steps", "image_realnvp": "layers"}


def fit(
    pictures: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures, or .npz with an array x.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder to save to.")],
    flow: Annotated[str, typer.Option(help="The recipe: glow or image_realnvp.")] = "glow",
    depth: Annotated[
        int | None, typer.Option(help="Steps of a Glow, or couplings of a RealNVP, at each level.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the nets' hidden layers.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Cut and shrink pictures to so many pixels a side.")] = None,
    gray: Annotated[bool, typer.Option("--gray", help="Brightness alone of pictures in color.")] = False,
    gray_levels: Annotated[int, typer.Option(help="How many values a pixel can have: 256 for bytes.")] = 256,
    minutes: Annotated[float | None, typer.Option(help="Train no longer than this.")] = None,
    epochs: Annotated[int, typer.Option(help="The most passes over the images.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Images of a batch.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Adam's step size at the start.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="The seed of everything.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after Ctrl-C, to the same result.")] = False,
) -> None:
    """Learn the density of images with a flow, in whose latent space they can then be changed."""
    check_folder(out)
    build = _builder(flow, depth, width)
    read = read_images(pictures, size=image_size, gray=gray)
    from counterflow.estimators import ImageFlow

    learner = ImageFlow(
        build,
        levels=gray_levels,
        max_epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        time_limit=None if minutes is None else 60 * minutes,
        checkpoint=out / CHECKPOINT,
        progress=True,
        random_state=seed,
    )
    channels, height, wide = read.pixels.shape[1:]
    form = f"{wide}x{height} pixels, {'in color' if channels == 3 else 'gray'}"
    tell(f"Training {flow} on {len(read.names):,} images of {form}.")
    _learn(learner, read.pixels, out / CHECKPOINT, resume=resume)
    record = {"images": str(pictures), "count": len(read.names), "image_size": image_size, "gray": gray}
    _save(learner, out, record)
    show(f"Held-out images: {_bits(learner):.3f} bits per dimension after {learner.report_.epochs} epochs.")
    show(f"{learner.report_.outcome.sentence} Saved to '{out}'.")


def _builder(flow: str, depth: int | None, width: int | None) -> Any:
    """A function that builds the flow that was named."""
    from counterflow.flows import RECIPES
    from counterflow.tables.hints import did_you_mean

    if flow not in _DEPTH:
        raise ArgumentError(f"--flow must be one of {', '.join(_DEPTH)}, got {flow!r}.{did_you_mean(flow, _DEPTH)}")
    settings: dict[str, Any] = {} if depth is None else {_DEPTH[flow]: depth}
    return partial(RECIPES[flow], **settings, **({} if width is None else {"hidden": (width, width)}))


def _learn(learner: "counterflow.estimators.ImageFlow", pixels: Any, checkpoint: Path, *, resume: bool) -> None:
    """Train, with a checkpoint that follows."""
    from counterflow.cli.running import Stopped

    if checkpoint.exists() and not resume:
        shutil.rmtree(checkpoint)
    if resume and not checkpoint.exists():
        tell(f"'{checkpoint.parent}' holds nothing to resume: starting from the beginning.")
    try:
        learner.fit(pixels)
    except KeyboardInterrupt:
        raise Stopped("interrupted. The same command with --resume goes on from here, to the same result.") from None
    except PersistenceError as error:
        if not resume:
            clear(checkpoint)
            raise
        raise PersistenceError(f"'{checkpoint}' is damaged or of another run: leave out --resume.") from error
    except Exception:
        clear(checkpoint)
        raise


def _save(learner: "counterflow.estimators.ImageFlow", out: Path, record: dict[str, Any]) -> None:
    from counterflow.persistence import atomic_write

    learner.save(out)
    atomic_write(out / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    shutil.rmtree(out / CHECKPOINT, ignore_errors=True)


def _bits(learner: "counterflow.estimators.ImageFlow") -> float:
    """What the best epoch needed for a number of a held-out image."""
    import math

    from counterflow.metrics import bits_per_dimension

    numbers, step = math.prod(learner.shape_), 1 / (learner.levels - 1)
    return bits_per_dimension(-learner.report_.best_validation, numbers, step=step)
