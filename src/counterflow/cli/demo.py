"""``counterflow demo``: a real model on real data, explained, in half a minute."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

from counterflow.cli.parsing import check_folder
from counterflow.cli.screen import show, tell, working
from counterflow.core.errors import MissingExtra, PersistenceError

if TYPE_CHECKING:
    import counterflow.counterfactuals
    import counterflow.tables

__all__ = ["demo"]

_ROWS = 100
_HELD_OUT = 0.3
_DECIMALS = 4


class _Case(NamedTuple):
    """The table of the demo, its schema, and which rows are held out."""

    frame: Any
    labels: np.ndarray
    schema: "counterflow.tables.Schema"
    train: np.ndarray
    test: np.ndarray


def demo(
    *,
    out: Annotated[Path, typer.Option(help="The folder for the report, the answers and the table.")] = Path(
        "demo-output"
    ),
) -> None:
    """Explain a model on real data: rows it calls malignant, and the nearest plausible rows it would call benign."""
    from counterflow.estimators import CounterfactualExplainer

    began = time.monotonic()
    check_folder(out)
    case = _load()
    model = _train(case)
    explainer = CounterfactualExplainer(model, schema=case.schema, random_state=0)
    explainer.fit(case.frame, case.labels, tell=tell)
    rows = _unwanted(case, model)
    with working(f"Searching for {len(rows)} rows that the model calls malignant."):
        answer = explainer.explain(rows, "benign")
    _show(answer)
    for path in _write(answer, out):
        show(f"Wrote '{path}'.")
    show(f"Done in {time.monotonic() - began:.0f} s. Open {out / 'report.html'} in a browser.")


def _load() -> _Case:
    from importlib.util import find_spec

    if find_spec("pandas") is None:
        raise MissingExtra("the demo", "pandas", "tables")
    from sklearn.model_selection import train_test_split

    from counterflow.datasets import load

    data = load("breast_cancer")
    names = [name for name in data.schema.names if name.startswith("mean_")]
    schema = data.schema.without([name for name in data.schema.names if name not in names])
    schema = schema.edit({name: {"decimals": min(schema[name].decimals or 0, _DECIMALS)} for name in names})
    order = np.arange(len(data))
    train, test = train_test_split(order, test_size=_HELD_OUT, stratify=data.labels, random_state=0)
    show(
        f"Data: {len(data)} real tumors (scikit-learn's breast cancer data), {len(names)} measurements of cell nuclei."
    )
    return _Case(data.frame[names], data.labels, schema, np.asarray(train), np.asarray(test))


def _train(case: _Case) -> Any:
    """Train scikit-learn's logistic regression on seven tenths of the rows, and say how good it is on the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        case.frame.iloc[case.train], case.labels[case.train]
    )
    right = model.score(case.frame.iloc[case.test], case.labels[case.test])
    usual = float((case.labels[case.test] == "benign").mean())
    show(
        f"Model: scikit-learn's StandardScaler and LogisticRegression, trained on {len(case.train)} rows. It decides "
        f"{right:.1%} of the other {len(case.test)} rows right; always saying 'benign' would {usual:.1%}."
    )
    return model


def _unwanted(case: _Case, model: Any) -> Any:
    """Rows that the model calls malignant, those it was not trained on first."""
    order = np.concatenate([case.test, case.train])
    malignant = order[model.predict(case.frame.iloc[order]) == "malignant"]
    return case.frame.iloc[malignant[:_ROWS]]


def _show(answer: "counterflow.counterfactuals.CounterfactualAnswer") -> None:
    from counterflow.cli.explain import show_answer

    show()
    show("What would have to be different for the model to decide 'benign'? This speaks of the model and no patient.\n")
    show_answer(answer)
    found = next((sentence for sentence, status in zip(answer.sentences(), answer.status, strict=True)
                  if status.value == "found"), None)  # fmt: skip
    if found:
        show(f"In words: {found}")
    show()


def _write(answer: "counterflow.counterfactuals.CounterfactualAnswer", out: Path) -> list[Path]:
    from counterflow.cli.answers import answer_table
    from counterflow.plotting import report
    from counterflow.tables import write_table

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PersistenceError(f"could not make the folder '{out}': {error.strerror}.") from error
    title = "Rows that the model calls malignant, and the nearest that it would call benign"
    return [
        report(answer, out / "report.html", title=title),
        answer.to_json(out / "answer.json"),
        write_table(answer_table(answer), out / "counterfactuals.csv"),
    ]
