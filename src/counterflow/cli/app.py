"""The commands, put together; each is one file, and imports what it needs when it runs."""

from typing import Annotated

import typer

from counterflow import __version__
from counterflow.cli.audit import audit
from counterflow.cli.demo import demo
from counterflow.cli.density import density
from counterflow.cli.evaluate import evaluate
from counterflow.cli.explain import explain
from counterflow.cli.fit import fit
from counterflow.cli.images import images
from counterflow.cli.replay import replay

__all__ = ["app"]

app = typer.Typer(
    name="counterflow",
    help="Plausible counterfactual explanations, and densities of tables and images, by normalizing flows.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> bool:  # noqa: FBT001
    if wanted:
        typer.echo(f"counterflow {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Plausible counterfactual explanations, and densities of tables and images, by normalizing flows."""


for command in (demo, fit, explain, evaluate, replay, audit):
    app.command()(command)
app.add_typer(density, name="density")
app.add_typer(images, name="images")
