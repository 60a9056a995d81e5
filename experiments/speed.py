"""How fast: HELOC refusals explained by counterflow, and by a re-statement of PPCEF's published settings.

    python -m experiments.speed --rows 777 --iterations 1000

The re-statement follows the authors' configuration: nflows' masked autoregressive flow (8 layers, 4 blocks, 16 hidden
units) conditioned on the class, a classifier of two hidden layers of 256, columns scaled to 0..1, Adam with step
0.001 on the changes of all rows at once, weight 1000, the lower quartile of training log-densities as threshold, and
every row until the last iteration. Both sides explain the same rows of the same classifier and are timed from raw
rows to legal rows returned (the re-statement's are rounded to whole numbers and clipped to the columns' bounds). One
yardstick for both: validity by the classifier, plausibility by the reference flow's own threshold, a zuko witness
that neither saw, distance in the space where columns run from 0 to 1. Special codes may change on both sides, as they
do in the re-statement.
"""

import argparse
import json
import time

import numpy as np
import torch
from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, ReversePermutation
from torch import nn

from counterflow import CounterfactualExplainer, models
from counterflow.tables import TableCodec
from experiments.ppcef import in_unit_ranges
from experiments.tables import load_table, machine, results_path
from experiments.witness import OutsideWitness

LAYERS, BLOCKS, HIDDEN = 8, 4, 16
WEIGHT, STEP, MARGIN = 1000.0, 0.001, 0.05


class UnitScaled(nn.Module):
    """The classifier on raw columns: scaled to 0..1, then two hidden layers of 256."""

    def __init__(self, low: torch.Tensor, span: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("span", span)
        width = len(low)
        self.net = nn.Sequential(
            nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2)
        ).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of raw rows."""
        return self.net((x.double() - self.low) / self.span)


def main() -> None:
    """Train everything once, explain the same rows on both sides, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=777)
    parser.add_argument("--iterations", type=int, nargs="+", default=[1000])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = load_table("heloc")
    numbers = TableCodec(table.schema).to_numbers(table.features)
    labels = (table.labels == "Good").astype(np.int64)
    order = np.random.default_rng(0).permutation(len(numbers))
    known, judge, fresh = order[:5000], order[5000:8500], order[8500:]
    low, span = torch.from_numpy(numbers.min(0)), torch.from_numpy(np.ptp(numbers, 0)).clamp(min=1.0)
    net = train_classifier(UnitScaled(low, span), torch.from_numpy(numbers[known]), torch.from_numpy(labels[known]))
    reference = train_reference((torch.from_numpy(numbers[known]) - low) / span, torch.from_numpy(labels[known]))
    witness = OutsideWitness(table.schema, numbers[judge], labels[judge])
    with torch.no_grad():
        refused = net(torch.from_numpy(numbers[fresh])).argmax(1) == 0
    rows = fresh[refused.numpy()][: options.rows]
    yardstick = Yardstick(net, reference, witness, low, span, numbers[rows])
    results = {"machine": machine(), "rows": len(rows), "threads": options.threads}
    results |= {"counterflow": ours(table, numbers[known], known, labels, net, rows, yardstick)}
    for count in options.iterations:
        began = time.perf_counter()
        found = restated(net, reference, low, span, numbers[rows], iterations=count)
        seconds = time.perf_counter() - began
        results[f"re-statement, {count} iterations"] = {"seconds": seconds, **yardstick.measure(found)}
    for name, line in results.items():
        print(name, line)
    results_path("speed.json").write_text(json.dumps(results, indent=2) + "\n")


class Yardstick:
    """What both sides are measured with."""

    def __init__(self, net, reference, witness, low, span, factuals) -> None:
        self.net, self.reference, self.witness = net, reference, witness
        self.low, self.span, self.factuals = low, span, factuals

    def measure(self, found: np.ndarray) -> dict[str, float]:
        """Shares and distances of legal rows."""
        x = torch.from_numpy(found)
        ones = torch.ones(len(x), 1)
        with torch.no_grad():
            valid = (self.net(x).argmax(1) == 1).numpy()
            score = self.reference["flow"].log_prob(((x - self.low) / self.span).float(), context=ones)
        change = (found - self.factuals) / self.span.numpy()
        return {
            "validity": float(valid.mean()),
            "reference_plausible": float((score.numpy() >= self.reference["threshold"])[valid].mean()),
            "witness_share": self.witness.share(found[valid], np.ones(valid.sum(), dtype=np.int64)),
            "l2": float(np.sqrt((change**2).sum(1))[valid].mean()),
        }


def ours(table, known_numbers, known, labels, net, rows, yardstick) -> dict[str, float]:
    """Counterflow: fitted once, then timed on all rows and on one alone."""
    schema = in_unit_ranges(table.schema, known_numbers)
    wrapped = models.wrap(net, output="logits", classes=["Bad", "Good"])
    names = np.array(["Bad", "Good"], dtype=object)
    features = table.features.iloc[known]
    began = time.perf_counter()
    explainer = CounterfactualExplainer(wrapped, schema=schema).fit(features, names[labels[known]])
    fitted = time.perf_counter() - began
    frame = table.features.iloc[rows]
    explainer.explain(frame.iloc[:4], "Good")
    began = time.perf_counter()
    answer = explainer.explain(frame, "Good", allow_training_rows=True)
    seconds = time.perf_counter() - began
    singles = []
    for k in range(20):
        began = time.perf_counter()
        explainer.explain(frame.iloc[k : k + 1], "Good")
        singles.append(time.perf_counter() - began)
    return {
        "seconds": seconds,
        "one_row_seconds": float(np.median(singles)),
        "fit_seconds": fitted,
        **yardstick.measure(answer.numbers),
        "search_held_out": explainer.background_.report.search_log_likelihood,
    }


def train_classifier(net: UnitScaled, x: torch.Tensor, labels: torch.Tensor) -> UnitScaled:
    """Adam, some thirty epochs."""
    torch.manual_seed(0)  # noqa: TID251
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(600):
        rows = torch.randint(len(x), (256,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), labels[rows]).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def train_reference(x: torch.Tensor, labels: torch.Tensor) -> dict:
    """The reference flow with noise of 0.02, and the lower quartile of its training log-densities."""
    torch.manual_seed(0)  # noqa: TID251
    width = x.shape[1]
    parts = []
    for _ in range(LAYERS):
        parts.append(ReversePermutation(width))
        parts.append(MaskedAffineAutoregressiveTransform(width, HIDDEN, context_features=1, num_blocks=BLOCKS))
    flow = Flow(CompositeTransform(parts), StandardNormal([width]))
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    context = labels[:, None].float()
    for _ in range(1500):
        rows = torch.randint(len(x), (512,))
        noisy = x[rows].float() + 0.02 * torch.randn(512, width)
        optimizer.zero_grad()
        (-flow.log_prob(noisy, context=context[rows]).mean()).backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimizer.step()
    flow.eval().requires_grad_(False)
    with torch.no_grad():
        scores = flow.log_prob(x.float(), context=context)
    return {"flow": flow, "threshold": float(scores.quantile(0.25))}


def restated(
    net: UnitScaled, reference: dict, low: torch.Tensor, span: torch.Tensor, raw: np.ndarray, *, iterations: int
) -> np.ndarray:
    """The published search: one Adam over the changes of all rows, to the last iteration; then whole numbers."""
    x = ((torch.from_numpy(raw) - low) / span).float()
    inner = nn.Sequential(*[part for part in net.net]).float()
    delta = torch.zeros_like(x, requires_grad=True)
    context, optimizer = torch.ones(len(x), 1), torch.optim.Adam([delta], lr=STEP)
    for _ in range(iterations):
        moved = x + delta
        wanted = inner(moved).softmax(1)[:, 1]
        density = reference["flow"].log_prob(moved, context=context)
        hinges = torch.relu(0.5 + MARGIN - wanted) + torch.relu(reference["threshold"] - density)
        loss = (delta.norm(dim=1) + WEIGHT * hinges).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.net.double()
    found = ((x + delta.detach()).double() * span + low).round().numpy()
    return np.clip(found, low.numpy(), (low + span).numpy())


if __name__ == "__main__":
    main()
