"""``counterflow images``: learn the density of images, change them until a model answers as asked, score, sample."""

from pathlib import Path
from typing import Annotated

import typer

from counterflow.cli.image_files import write_arrays, write_figure, write_table
from counterflow.cli.images_explain import explain, load_flow, read_like
from counterflow.cli.images_fit import fit
from counterflow.cli.parsing import check_file
from counterflow.cli.screen import show, working

__all__ = ["images"]

images = typer.Typer(
    help="Counterfactuals of images: fit, explain, score, sample.", no_args_is_help=True, rich_markup_mode=None
)
images.command("fit")(fit)
images.command("explain")(explain)


@images.command("score")
def score(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow images fit' saved.")],
    pictures: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of pictures, or .npz with an array x.")],
    *,
    out: Annotated[Path, typer.Option(help="The scores as .csv.")],
) -> None:
    """Score images: the natural log-density of each, and its bits per dimension."""
    check_file(out, (".csv",))
    learned, record = load_flow(folder)
    read = read_like(pictures, learned, record)
    with working(f"Scoring {len(read.names):,} images."):
        scores, bits = learned.score_samples(read.pixels), learned.bits_per_dimension(read.pixels)
    rows = list(zip(read.names, scores.tolist(), bits.tolist(), strict=True))
    write_table(out, ("image", "log_density", "bits_per_dimension"), rows)
    show(f"Mean: {scores.mean():.2f} nats, {bits.mean():.3f} bits per dimension. Wrote '{out}'.")


@images.command("sample")
def sample(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow images fit' saved.")],
    *,
    out: Annotated[Path, typer.Option(help="The images as .npz (an array x), or a sheet of them as .png.")],
    number: Annotated[int, typer.Option("-n", "--number", help="How many images.")] = 30,
    temperature: Annotated[float, typer.Option(help="Below 1: likelier images of less variety.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
) -> None:
    """Make images up."""
    check_file(out, (".npz", ".png"))
    learned, _ = load_flow(folder)
    with working(f"Making up {number:,} images."):
        drawn = learned.sample(number, temperature=temperature, random_state=seed)
    if out.suffix.lower() == ".npz":
        write_arrays(out, {"x": drawn.numpy()})
    else:
        from counterflow.plotting import plot_images

        write_figure(plot_images(drawn, title="Images that the flow made up"), out)
    show(f"Wrote {number:,} made-up images to '{out}'.")
