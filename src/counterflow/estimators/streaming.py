"""Explain a table that does not fit in memory: Parquet in, Parquet out, piece by piece."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, DataError
from counterflow.core.outcomes import RowStatus
from counterflow.tables import Constraints
from counterflow.tables.frames import frame_of, to_arrow
from counterflow.tables.streams import ParquetStream, parquet_writer

if TYPE_CHECKING:
    from counterflow.counterfactuals import CounterfactualAnswer
    from counterflow.estimators.explainer import CounterfactualExplainer

__all__ = ["STREAM_COLUMNS", "explain_stream"]

STREAM_COLUMNS = (
    "cf_factual",
    "cf_rank",
    "cf_status",
    "cf_valid",
    "cf_plausible",
    "cf_plausibility",
    "cf_witness",
    "cf_log_density",
    "cf_distance",
    "cf_probability",
    "cf_kept",
)
"""What is added to the user's columns; the same names as those of ``counterflow explain``."""


def explain_stream(
    explainer: "CounterfactualExplainer",
    rows: str | Path,
    *,
    desired: Any,
    out: str | Path,
    probability: tuple[float, float] | None = None,
    count: int = 1,
    constraints: Constraints | None = None,
    min_plausibility: float = 0.1,
    norm: float | None = None,
    allow_training_rows: bool = False,
    batch_rows: int = 4096,
    progress: bool = False,
) -> dict[RowStatus, int]:
    """Explain all rows of a Parquet file and write the answers to another, never holding more than one piece of either.

    ``out`` appears when all rows are answered, and not at all if anything fails before.

    Args:
        explainer: A fitted explainer.
        rows: The rows to explain: a Parquet file.
        desired: The class (or for a regressor the interval) wished for, one for all rows.
        out: Where the answers go: the user's columns and :data:`STREAM_COLUMNS`.
        probability: As the five that follow, a setting of :meth:`CounterfactualExplainer.explain`.
        count: Answers for each row.
        constraints: What may not change, beyond the schema.
        min_plausibility: The conformal p-value an answer must reach.
        norm: The exponent of the distance; ``None`` for the method's.
        allow_training_rows: Whether an answer may equal a training row.
        batch_rows: How many rows are explained at once.
        progress: Show a bar.

    Returns:
        How many answers ended in each way.

    Raises:
        DataError: The file is missing, no Parquet, empty, or does not fit the schema.
        PersistenceError: The answers could not be written; what was there before is unchanged.

    Example:
        >>> import tempfile
        >>> import numpy as np, pandas as pd
        >>> from sklearn.linear_model import LogisticRegression
        >>> from counterflow import CounterfactualExplainer
        >>> table = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 2)), columns=["a", "b"])
        >>> model = LogisticRegression().fit(table, table["a"] > 0)
        >>> explainer = CounterfactualExplainer(model, random_state=0).fit(table)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows, out = Path(folder, "rows.parquet"), Path(folder, "answers.parquet")
        ...     table[:8].to_parquet(rows)
        ...     sum(explain_stream(explainer, rows, desired=True, out=out, batch_rows=3).values())
        8
    """
    check_count(batch_rows, "batch_rows")
    stream = ParquetStream(rows, batch_rows)
    _check(stream, Path(out))
    counts: Counter[RowStatus] = Counter()
    with parquet_writer(out) as pieces:
        done = 0
        for frame in _watched(stream, progress=progress):
            answer = explainer.explain(
                frame,
                desired,
                probability=probability,
                count=count,
                constraints=constraints,
                min_plausibility=min_plausibility,
                norm=norm,
                allow_training_rows=allow_training_rows,
            )
            pieces.write(_with_verdict(answer, done))
            counts.update(answer.status)
            done += len(frame)
    return dict(counts)


def _check(stream: ParquetStream, out: Path) -> None:
    if not len(stream):
        raise DataError(f"'{stream.path}' holds no rows.")
    if taken := [name for name in stream.names if name in STREAM_COLUMNS]:
        raise DataError(f"'{stream.path}' has a column {taken[0]!r}, which the answers need. Rename or drop it.")
    if out.suffix != ".parquet":
        raise ArgumentError(f"out must be the path of a .parquet file, got '{out}'.")


def _with_verdict(answer: "CounterfactualAnswer", done: int) -> Any:
    """The answers of one piece as a table of pyarrow, with what is known of each."""
    values: dict[str, list[Any]] = {
        "cf_factual": (answer.index.factual + done).tolist(),
        "cf_rank": answer.index.rank.tolist(),
        "cf_status": [status.value for status in answer.status],
    }
    for name in STREAM_COLUMNS[len(values) :]:
        values[name] = getattr(answer, name.removeprefix("cf_")).tolist()
    table, verdict = to_arrow(answer.frame), to_arrow(frame_of(values, "pyarrow"))
    for name in verdict.column_names:
        table = table.append_column(name, verdict.column(name))
    return table


def _watched(stream: ParquetStream, *, progress: bool) -> Iterator[Any]:
    """The pieces, with a bar that counts rows."""
    if not progress:
        yield from stream
        return
    from tqdm.auto import tqdm

    with tqdm(total=len(stream), desc="explaining", unit="row", delay=2.0, disable=None) as bar:
        for frame in stream:
            yield frame
            bar.update(len(frame))
