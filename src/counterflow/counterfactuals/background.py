"""What an explainer learns from a table once: two densities, their thresholds, and plausible made-up rows."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterflow.core.random import derive_seed, make_generator
from counterflow.core.threads import one_thread
from counterflow.counterfactuals.bins import ValueBins
from counterflow.counterfactuals.copies import RowHashes
from counterflow.counterfactuals.density import ClassDensity
from counterflow.counterfactuals.families import Plan, plan_from_dict, plan_search_flows, plan_witness_flows, schooling
from counterflow.counterfactuals.recipe_plans import Recipe, plans_of
from counterflow.counterfactuals.splits import assign_roles
from counterflow.counterfactuals.witness import WitnessReport, examine_witness
from counterflow.flows import Flow
from counterflow.persistence import SavedFolder
from counterflow.tables import FlowEncoding, Schema, dequantizer
from counterflow.training import fit

__all__ = ["Background", "Telling", "learn_background"]

Telling = Callable[[str], None]
"""Called with a sentence when a new part of the work begins."""

_POOL = 2000


@dataclass(frozen=True)
class Background:
    """Everything learned from the training table; it holds no row of it.

    Args:
        schema: The columns.
        search: The density that searches use.
        witness: The density that judges them.
        plans: How the flows of the ``"search"`` and of the ``"witness"`` were built.
        pool: For each class, rows that the search's flows made up.
        copies: The hashes of the training rows.
        report: How good a judge the witness is.
        bins: Of a regressor, the bins of values that stand for classes; ``None`` for a classifier.
    """

    schema: Schema
    search: ClassDensity
    witness: ClassDensity
    plans: dict[str, tuple[Plan, ...]]
    pool: tuple[Float[Tensor, "_ columns"], ...]
    copies: RowHashes
    report: WitnessReport
    bins: ValueBins | None = None

    @property
    def scale(self) -> Float[Tensor, " columns"]:
        """The standardized unit of each column."""
        return self.search.encoding.distance_scale.cpu()

    @contextmanager
    def at(self, device: str) -> Generator[None]:
        """Let both densities be computed on a device for a while; rows come from the CPU and numbers go back to it."""
        for density in (self.search, self.witness):
            density.to(device)
        try:
            yield
        finally:
            for density in (self.search, self.witness):
                density.cpu()

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder."""
        tensors = {"copies": self.copies.hashes}
        for name, density in (("search", self.search), ("witness", self.witness)):
            tensors |= {f"{name}.flows.{key}": value for key, value in density.flows.state_dict().items()}
            tensors |= {f"{name}.encoding.{key}": value for key, value in density.encoding.state_dict().items()}
            tensors |= {f"{name}.calibration.{k}": torch.from_numpy(v) for k, v in enumerate(density.calibration)}
        tensors |= {f"pool.{k}": rows for k, rows in enumerate(self.pool)}
        config = {
            "schema": self.schema.to_dict(),
            "classes": self.search.classes,
            "plans": {side: [plan.to_dict() for plan in plans] for side, plans in self.plans.items()},
            "report": self.report.to_dict(),
            "bins": None if self.bins is None else self.bins.to_dict(),
        }
        return config, tensors

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], folder: SavedFolder) -> "Background":
        """Build it again from what :meth:`to_parts` gave."""
        schema = Schema.from_dict(config["schema"])
        plans = {side: tuple(plan_from_dict(plan) for plan in each) for side, each in config["plans"].items()}
        classes = config["classes"]
        return cls(
            schema=schema,
            search=_restore(schema, plans["search"], folder, "search", classes),
            witness=_restore(schema, plans["witness"], folder, "witness", classes),
            plans=plans,
            pool=tuple(folder.tensors[f"pool.{k}"] for k in range(classes)),
            copies=RowHashes(folder.tensors["copies"]),
            report=WitnessReport.from_dict(config["report"]),
            bins=ValueBins.from_dict(config.get("bins")),
        )


@one_thread()
def learn_background(
    schema: Schema,
    numbers: Float[np.ndarray, "rows columns"],
    labels: Int[np.ndarray, " rows"],
    *,
    classes: int,
    seed: int,
    bins: ValueBins | None = None,
    density: Recipe | Sequence[Recipe] | None = None,
    tell: Telling | None = None,
    progress: bool = False,
    checkpoint: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> Background:
    """Train the search's flows and the witness on disjoint rows, calibrate both, and examine the witness.

    Args:
        schema: The columns.
        numbers: The table, as the codec gives it.
        labels: The class of each row, from 0.
        classes: How many classes there are.
        seed: Where all randomness comes from.
        bins: Of a regressor, the bins that the labels are of.
        density: Recipes of the search's flows; ``None`` for the usual ones.
        tell: Told what is being done.
        progress: Show progress bars.
        checkpoint: A folder that follows the training, with a sub-folder for each flow; the caller removes it.
        resume: Go on from the checkpoint, to the same result as if nothing had been interrupted.
        device: Where the flows are trained; they come back to the CPU.

    Returns:
        The background.

    Raises:
        DataError: A class has too few rows, or a column that could be changed is constant.
        PersistenceError: The checkpoint is damaged, or of another table, seed or setting.
    """
    tell = tell or _silent
    roles = assign_roles(labels, seed=derive_seed(seed, "roles"))
    rows, classed = torch.from_numpy(numbers), torch.from_numpy(labels)
    first = derive_seed(seed, "search") % 2**31
    plans: dict[str, tuple[Plan, ...]] = {
        "search": plan_search_flows(len(roles.search), first) if density is None else plans_of(density, first),
        "witness": plan_witness_flows(len(roles.witness), derive_seed(seed, "witness") % 2**31),
    }
    course = _Course(classes, progress, checkpoint, resume, device)
    learned: list[tuple[ClassDensity, list[Flow]]] = []
    for name, part, calibration in (
        ("search", roles.search, roles.search_calibration),
        ("witness", roles.witness, roles.witness_calibration),
    ):
        tell(f"Training the {name}'s density on {len(part):,} rows.")
        encoding = _fit_encoding(schema, numbers, labels, part)
        flows = [
            course.train(plan, encoding, rows[part], classed[part], name=f"{name}-{member}")
            for member, plan in enumerate(plans[name])
        ]
        density = ClassDensity(encoding, flows, classes=classes, mixture=name == "witness")
        density.calibrate(rows[calibration], classed[calibration])
        learned.append((density, flows))
    (search, (*_, search_flow)), (witness, _) = learned
    tell("Examining the witness and drawing plausible rows.")
    report = examine_witness(witness, search, rows, classed, roles=roles, seed=derive_seed(seed, "permuted"))
    copies = RowHashes.of(rows)
    made_up = (_draw(search, search_flow, label, derive_seed(seed, "pool", str(label))) for label in range(classes))
    pool = tuple(each[~copies.contains(each)] for each in made_up)
    return Background(schema, search, witness, plans, pool, copies, report, bins)


def _fit_encoding(schema: Schema, numbers: np.ndarray, labels: np.ndarray, part: np.ndarray) -> FlowEncoding:
    """The encoding of a part of the table; a column that varies in the table but not in this part has no coordinate."""
    rows = numbers[part]
    constant = (rows == rows[:1]).all(0) & ~(numbers == numbers[:1]).all(0)
    for name in np.array(schema.names)[constant].tolist():
        schema = schema.with_column(name, actionable=False)
    return FlowEncoding.fit(schema, rows, score=labels[part].astype(np.float64))


@dataclass(frozen=True)
class _Course:
    """How every flow is trained, and what follows its training."""

    classes: int
    progress: bool
    checkpoint: Path | None
    resume: bool
    device: str

    def train(self, plan: Plan, encoding: FlowEncoding, numbers: Tensor, labels: Tensor, *, name: str) -> Flow:
        """Fit one class-conditional flow with fresh dequantization noise every batch."""
        flow = plan.build(encoding.dimension, self.classes)
        fit(
            flow,
            numbers,
            context=nn.functional.one_hot(labels, self.classes).float(),
            generator=make_generator(plan.seed),
            augment=dequantizer(encoding),
            device=self.device,
            checkpoint=None if self.checkpoint is None else self.checkpoint / name,
            resume=self.resume,
            progress=self.progress,
            **asdict(schooling(plan, len(numbers), dimension=encoding.dimension)),
        )
        return flow


def _draw(density: ClassDensity, flow: Flow, label: int, seed: int) -> Tensor:
    """Rows that one of the search's flows makes up for a class, the less plausible half left out."""
    context = torch.zeros(density.classes, dtype=torch.float64)
    context[label] = 1.0
    points = flow.sample(_POOL, context[None], generator=make_generator(seed))[:, 0]
    numbers = density.encoding.decode(points)
    labels = torch.full((len(numbers),), label)
    plausibility = density.plausibility(density.log_density(numbers, labels), labels)
    return numbers[torch.from_numpy(plausibility >= 0.5)]


def _restore(schema: Schema, plans: tuple[Plan, ...], folder: SavedFolder, name: str, classes: int) -> ClassDensity:
    encoding = FlowEncoding(schema, folder.part(f"{name}.encoding"))
    flows = nn.ModuleList(plan.build(encoding.dimension, classes).double() for plan in plans)
    flows.load_state_dict(folder.part(f"{name}.flows"))
    density = ClassDensity(encoding, list(flows), classes=classes, mixture=name == "witness")
    density.calibration = [folder.tensors[f"{name}.calibration.{k}"].numpy() for k in range(classes)]
    return density


def _silent(sentence: str) -> None:
    """Tell nobody."""
