"""``counterflow images explain``: change images until a model answers as asked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterflow.cli.image_files import (
    Images,
    check_new,
    new_folder,
    read_images,
    write_arrays,
    write_figure,
    write_table,
)
from counterflow.cli.images_fit import RECORD
from counterflow.cli.parsing import check_file
from counterflow.cli.screen import show, working
from counterflow.core.errors import ArgumentError, DataError, ModelError

if TYPE_CHECKING:
    import counterflow.counterfactuals
    import counterflow.estimators

__all__ = ["explain", "load_flow", "open_network", "read_like"]

_SHEETS = (".png", ".pdf", ".svg")
_FIELDS = ("probability", "prediction", "original_probability", "original_prediction", "steps")


def explain(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow images fit' saved.")],
    pictures: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures, or .npz with an array x.")],
    *,
    model: Annotated[str, typer.Option(help="The model: a file .onnx, or module:attribute for a torch module.")],
    target: Annotated[str, typer.Option(help="A class (9); of a regressor a value (9.0), increase or decrease.")],
    out: Annotated[Path, typer.Option(help="Arrays as .npz, or the name of a new folder for pictures and a table.")],
    output: Annotated[str, typer.Option(help="What a classifier answers: logits or probabilities.")] = "logits",
    confidence: Annotated[float, typer.Option(help="The probability of the class at which an image stops.")] = 0.99,
    change: Annotated[float | None, typer.Option(help="By how much a regressor's value shall change.")] = None,
    optimizer: Annotated[str, typer.Option(help="adam, or gradient, which obeys the theorem.")] = "adam",
    learning_rate: Annotated[float, typer.Option(help="Step length in the latent.")] = 0.05,
    max_steps: Annotated[int, typer.Option(help="An image stops after so many steps in any case.")] = 2000,
    proximity: Annotated[float, typer.Option(help="Weight of the squared distance to the image.")] = 0.0,
    batch_size: Annotated[int, typer.Option(help="So many images climb together.")] = 64,
    sheet: Annotated[Path | None, typer.Option(help="A picture of the first images: .png, .pdf or .svg.")] = None,
) -> None:
    """Change images along the data until a model answers as asked, and show what changed."""
    check_new(out)
    check_file(sheet, _SHEETS)
    _check_word(optimizer, "--optimizer", ("adam", "gradient"))
    _check_word(output, "--output", ("logits", "probabilities"))
    wish = _target(target)
    learned, record = load_flow(folder)
    read = read_like(pictures, learned, record)
    network = open_network(model, read)
    from counterflow.counterfactuals import latent_ascent

    with working(f"Changing {len(read.names):,} images."):
        answer = latent_ascent(
            learned.flow_,
            network,
            read.pixels,
            wish,
            confidence=confidence,
            learning_rate=learning_rate,
            max_steps=max_steps,
            optimizer=optimizer,  # type: ignore[arg-type]
            output=output,  # type: ignore[arg-type]
            change=change,
            proximity=proximity,
            clip=(0.0, 1.0),
            batch_size=batch_size,
        )
    _write(answer, read.names, out)
    if sheet is not None:
        from counterflow.plotting import plot_ascent

        write_figure(plot_ascent(answer), sheet)
    show(_summary(answer, out))


def load_flow(folder: Path) -> tuple["counterflow.estimators.ImageFlow", dict[str, Any]]:
    """Load what ``fit`` saved, and how it read its images.

    Raises:
        PersistenceError: The folder is missing, damaged or of another kind.
    """
    from counterflow.estimators import ImageFlow

    learned = ImageFlow.load(folder)
    try:
        return learned, json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return learned, {}


def read_like(path: Path, learned: "counterflow.estimators.ImageFlow", record: dict[str, Any]) -> Images:
    """Read images as those were read that the flow was fitted on.

    Raises:
        DataError: They have another size or other channels.
    """
    pictures = {"size": record.get("image_size"), "gray": record.get("gray", False)} if path.is_dir() else {}
    read = read_images(path, **pictures)
    have, need = tuple(read.pixels.shape[1:]), tuple(learned.shape_)
    if have != need:
        raise DataError(
            f"'{path}' holds images of (channels, height, width) = {have}, and the flow was fitted on {need}. "
            "Give images of the same kind, or fit again."
        )
    return read


def open_network(spec: str, images: Images) -> Any:
    """Open what ``--model`` names, and ask it once.

    Raises:
        ArgumentError: There is no such file, or it has another form.
        ModelError: It is no torch model of images.
        MissingExtra: The package that reads it is not installed.
    """
    import torch

    from counterflow.cli.user_models import import_model
    from counterflow.models import Loan, read_network

    first = images.pixels[:1].clone()
    network = read_network(spec, like=first) if spec.lower().endswith(".onnx") else import_model(spec)
    if not callable(network):
        raise ModelError(
            f"--model {spec}: a torch module or a function of images is needed, got a {type(network).__name__}."
        )
    try:
        with Loan(*([network] if isinstance(network, torch.nn.Module) else [])):
            answer = network(first.requires_grad_())
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise ModelError(
            f"--model {spec} fails on an image of shape {tuple(first.shape)}, with {type(error).__name__}: {words}."
        ) from error
    if not isinstance(answer, torch.Tensor) or not answer.requires_grad:
        raise ModelError(
            f"--model {spec} must answer a tensor that gradients pass through, for latent ascent to climb."
        )
    return network


def _check_word(word: str, option: str, known: tuple[str, str]) -> None:
    if word not in known:
        raise ArgumentError(f"{option} must be {known[0]} or {known[1]}, got {word!r}.")


def _target(word: str) -> int | float | str:
    """A class, a value or a direction.

    Example:
        >>> _target("9"), _target("9.5"), _target("increase")
        (9, 9.5, 'increase')
    """
    if word in ("increase", "decrease"):
        return word
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise ArgumentError(
            f"--target must be a class (a whole number), a value, 'increase' or 'decrease', got {word!r}."
        ) from None


def _write(answer: "counterflow.counterfactuals.AscentAnswer", names: list[str], out: Path) -> None:
    from counterflow.datasets.pictures import write_picture

    columns = {name: getattr(answer, name).tolist() for name in _FIELDS}
    status = [status.value for status in answer.status]
    if out.suffix:
        arrays = {"originals": answer.originals, "images": answer.images, "heatmap": answer.heatmap}
        plain = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
        write_arrays(out, {**plain, **columns, "status": status, "names": names})
        return
    largest = answer.heatmap.max().clamp(min=1e-12)
    with new_folder(out) as aside:
        for image, heat, name in zip(answer.images, answer.heatmap, _stems(names), strict=True):
            write_picture(aside / f"{name}.png", image)
            write_picture(aside / f"{name}-change.png", heat[None] / largest)
        rows = list(zip(names, status, *columns.values(), strict=True))
        write_table(aside / "answers.csv", ("image", "status", *columns), rows)


def _stems(names: list[str]) -> list[str]:
    """File names without a suffix or folders, each different.

    Example:
        >>> _stems(["a/one.png", "a/one.jpg", "two.png"])
        ['a-one-png', 'a-one-jpg', 'two']
    """
    plain = [Path(name).with_suffix("").as_posix().replace("/", "-") for name in names]
    return [
        stem if plain.count(stem) == 1 else name.replace("/", "-").replace(".", "-")
        for stem, name in zip(plain, names, strict=True)
    ]


def _summary(answer: "counterflow.counterfactuals.AscentAnswer", out: Path) -> str:
    from collections import Counter

    counts = Counter(status.value for status in answer.status)
    words = {"found": "changed as asked", "already_desired": "as asked before", "not_valid": "not reached"}
    said = ", ".join(f"{counts[key]:,} {text}" for key, text in words.items() if counts[key])
    return f"Of {len(answer):,} images: {said}. Wrote '{out}'."
