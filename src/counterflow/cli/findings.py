"""What ``counterflow fit`` found in a table, for a person to read."""

from collections import Counter
from typing import TYPE_CHECKING

from counterflow.cli.screen import show, table_text

if TYPE_CHECKING:
    import counterflow.cli.targets
    import counterflow.estimators
    import counterflow.tables

__all__ = ["show_findings"]


def show_findings(
    explainer: "counterflow.estimators.CounterfactualExplainer", target: "counterflow.cli.targets.Target", words: str
) -> None:
    """Print what was found in the table, and how good the model and the witness are.

    Args:
        explainer: Fitted.
        target: What the model predicts.
        words: How good the model is.
    """
    schema = explainer.schema_
    lines = [("Target", target.sentence), ("Features", _kinds(schema))]
    lines += [(name, text) for name, text in _special(schema) if text]
    show(table_text(lines))
    show(words)
    show(explainer.background_.report.sentence)


def _kinds(schema: "counterflow.tables.Schema") -> str:
    counts = Counter(str(column.kind) for column in schema.columns)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _special(schema: "counterflow.tables.Schema") -> list[tuple[str, str]]:
    """The atoms and the protected columns, in a line each."""
    codes: dict[str, list[str]] = {}
    for column in schema.columns:
        values = ", ".join("missing" if a.missing else f"{a.value:g}" for a in column.atoms if a.kind == "code")
        if values:
            codes.setdefault(values, []).append(column.name)
    masses = [
        f"{column.name} = {atom.value:g}" for column in schema.columns for atom in column.atoms if atom.kind != "code"
    ]
    return [
        ("Codes (never rewritten)", "; ".join(f"{values} in {_several(names)}" for values, names in codes.items())),
        ("Values that stand out", ", ".join(masses)),
        ("Protected", ", ".join(column.name for column in schema.columns if column.protected)),
    ]


def _several(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} columns"
