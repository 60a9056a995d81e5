"""The outside witness: a spline flow of another library, on rows that no search ever saw.

    python -m experiments.witness heloc adult

Settings and seed are fixed here. The witness is fit to judge if its held-out likelihood is no worse than that of the
search's flows and if it rejects at least half of the real rows of which one value was exchanged for another row's;
both are printed.
"""

import argparse
import json

import numpy as np
import torch

from counterflow import Schema
from counterflow.metrics import permute_one_column
from counterflow.tables import FlowEncoding, TableCodec
from experiments.tables import load_table, machine, results_path

__all__ = ["OutsideWitness"]

_SEED = 0
_TRANSFORMS, _BINS, _HIDDEN = 3, 8, (128, 128)
_BATCH, _RATE = 256, 3e-3
_LEVEL = 0.1


class OutsideWitness:
    """Two thirds of the rows train the flow, the others calibrate it.

    Args:
        schema: The columns.
        numbers: Real rows in the codec's form.
        labels: The index of each row's class.
        steps: Steps of training.
    """

    def __init__(self, schema: Schema, numbers: np.ndarray, labels: np.ndarray, *, steps: int = 3000) -> None:
        import zuko

        order = np.random.default_rng(_SEED).permutation(len(numbers))
        cut = 2 * len(order) // 3
        known, held = order[:cut], order[cut:]
        self.classes = int(labels.max()) + 1
        self.encoding = FlowEncoding.fit(schema, numbers[known])
        torch.manual_seed(_SEED)  # noqa: TID251  zuko draws its weights from the global state
        self.flow = zuko.flows.NSF(
            self.encoding.dimension, self.classes, transforms=_TRANSFORMS, bins=_BINS, hidden_features=_HIDDEN
        )
        self.validation: list[float] = []
        self._train(torch.from_numpy(numbers[known]), torch.from_numpy(labels[known]), steps)
        self.held = (numbers[held], labels[held])
        scores = self.score(numbers[held], labels[held])
        self.likelihood = float(scores.mean())
        self.calibration = [np.sort(scores[labels[held] == k]) for k in range(self.classes)]

    def plausibility(self, numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The conformal p-value of each row under its class."""
        scores, result = self.score(numbers, labels), np.empty(len(numbers))
        for k in range(self.classes):
            rows = labels == k
            below = np.searchsorted(self.calibration[k], scores[rows], side="right")
            result[rows] = (1 + below) / (len(self.calibration[k]) + 1)
        return result

    def share(self, numbers: np.ndarray, labels: np.ndarray, level: float = _LEVEL) -> float:
        """The share of rows whose p-value reaches the level; about 1 - level for fresh real rows."""
        return float((self.plausibility(numbers, labels) >= level).mean()) if len(numbers) else float("nan")

    def rejection(self) -> float:
        """The share of held-out rows with one value exchanged (for a different one) that are called implausible."""
        generator, rejected = np.random.default_rng(_SEED), []
        for k in range(self.classes):
            rows = self.held[0][self.held[1] == k]
            wrong, column = permute_one_column(rows, generator=generator)
            changed = wrong[np.arange(len(rows)), column] != rows[np.arange(len(rows)), column]
            rejected.append(self.plausibility(wrong[changed], np.full(changed.sum(), k)) < _LEVEL)
        return float(np.concatenate(rejected).mean())

    def score(self, numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Log-density of each row under its class, in the data's own units."""
        context = torch.nn.functional.one_hot(torch.from_numpy(labels), self.classes).float()
        parts = zip(torch.from_numpy(numbers).split(2048), context.split(2048), strict=True)
        with torch.no_grad():
            scores = [self.encoding.log_density(self._log_prob, part, context=c) for part, c in parts]
        return torch.cat(scores).numpy() if scores else np.zeros(0)

    def _log_prob(self, points: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        return self.flow(context).log_prob(points.float()).double()

    def _train(self, numbers: torch.Tensor, labels: torch.Tensor, steps: int) -> None:
        """Adam with a cosine schedule; the weights that do best on a tenth of the rows are kept."""
        context = torch.nn.functional.one_hot(labels, self.classes).float()
        generator = torch.Generator().manual_seed(_SEED)
        optimizer = torch.optim.Adam(self.flow.parameters(), lr=_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        checks = max(1, len(numbers) // 10)
        fixed, _ = self.encoding.dequantize(numbers[:checks], torch.Generator().manual_seed(1))
        best, kept = -np.inf, self.flow.state_dict()
        for step in range(steps):
            rows = torch.randint(checks, len(numbers), (_BATCH,), generator=generator)
            points, _ = self.encoding.dequantize(numbers[rows], generator)
            optimizer.zero_grad()
            (-self.flow(context[rows]).log_prob(points.float()).mean()).backward()
            torch.nn.utils.clip_grad_norm_(self.flow.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            if step % 100 == 99:
                with torch.no_grad():
                    score = float(self.flow(context[:checks]).log_prob(fixed.float()).mean())
                if score > best:
                    best, kept = score, {key: value.clone() for key, value in self.flow.state_dict().items()}
        self.flow.load_state_dict(kept)


def main() -> None:
    """Train the witness of each table on half of its rows and say how good a judge it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    results: dict = {"machine": machine(), "steps": options.steps}
    for name in options.tables:
        table = load_table(name, rows=options.rows)

        numbers = TableCodec(table.schema).to_numbers(table.features)
        labels = np.unique(table.labels, return_inverse=True)[1]
        witness = OutsideWitness(table.schema, numbers, labels, steps=options.steps)
        results[name] = {"rows": len(numbers), "likelihood": witness.likelihood, "rejection": witness.rejection()}
        print(name, results[name], flush=True)
    results_path("witness.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
