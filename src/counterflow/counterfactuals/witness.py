"""The judge of the search: what a second flow says of the answers, and whether it is fit to judge.

A search that climbs one density finds the places where that density is wrong. The witness is a flow of another
family, trained on rows that the search's flows never saw, and never shown to the search. It is a judge only if it knows
the data at least as well as the search does and can tell a real row from a mended one: both are measured, and said.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.counterfactuals.density import ClassDensity
from counterflow.counterfactuals.splits import Roles
from counterflow.metrics import is_informative_witness, permutation_rejection, permute_one_column

__all__ = ["WitnessReport", "examine_witness"]

_LEVEL = 0.1
_MOST_ROWS = 2000
_FEWEST_TO_PERMUTE = 2


@dataclass(frozen=True)
class WitnessReport:
    """How good a judge the witness is.

    Args:
        log_likelihood: Mean log-density of held-out real rows under the witness, nats a row.
        search_log_likelihood: The same under the best of the search's flows.
        log_likelihood_error: The standard error of the difference of both.
        rejection: The share of held-out real rows that it calls implausible at level 0.1 once one column is permuted.
        sizes: How many rows trained and calibrated each side.
        informative: Whether it is fit to judge: no worse than the search's flows, and rejecting at least half.
    """

    log_likelihood: float
    search_log_likelihood: float
    log_likelihood_error: float
    rejection: float
    sizes: dict[str, int | bool]
    informative: bool

    @property
    def sentence(self) -> str:
        """What a reader of the witness share needs to know first."""
        facts = (
            f"The witness was trained on {self.sizes['witness_training']:,} rows that the search's flows "
            f"(trained on {self.sizes['search_training']:,}) never saw. Held-out log-likelihood: witness "
            f"{self.log_likelihood:.2f}, search {self.search_log_likelihood:.2f} nats a row. It rejects "
            f"{self.rejection:.0%} of real rows with one column permuted."
        )
        return facts if self.informative else f"Not informative: the witness is too weak a judge here. {facts}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for saved folders and reports; numbers that are not finite as text, as JSON has none."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "WitnessReport":
        """Read what :meth:`to_dict` gave."""
        values: dict[str, Any] = {key: float(v) if isinstance(v, str) else v for key, v in data.items()}
        return cls(**values)


def examine_witness(
    witness: ClassDensity,
    search: ClassDensity,
    numbers: Float[Tensor, "rows columns"],
    labels: Int[Tensor, " rows"],
    *,
    roles: Roles,
    seed: int,
) -> WitnessReport:
    """Compare the witness with the search's flows on rows that trained neither of the two compared.

    Args:
        witness: The judge, calibrated.
        search: The density of the search.
        numbers: All rows of the table.
        labels: Their classes.
        roles: Who was trained and calibrated on what.
        seed: Which column of each row is permuted, and with which other row.

    Returns:
        The report.
    """
    of_witness, of_search = (
        torch.from_numpy(part[:_MOST_ROWS]) for part in (roles.witness_calibration, roles.search_calibration)
    )
    own = witness.log_density(numbers[of_witness], labels[of_witness])
    others = search.member_log_densities(numbers[of_search], labels[of_search]).numpy()
    best = others[others.mean(1).argmax()]
    rejection = _rejection(witness, numbers[of_witness], labels[of_witness], seed)
    return WitnessReport(
        log_likelihood=float(own.mean()),
        search_log_likelihood=float(best.mean()),
        log_likelihood_error=_error_of_difference(own, best, paired=not roles.cross_fitted),
        rejection=rejection,
        sizes=roles.sizes(),
        informative=is_informative_witness(
            rejection=rejection, witness_log_density=float(own.mean()), search_log_density=float(best.mean())
        ),
    )


def _rejection(witness: ClassDensity, numbers: Tensor, labels: Tensor, seed: int) -> float:
    """The share of rows called implausible once one value comes from another row of the same class."""
    generator = np.random.default_rng(seed)
    scores, changed = [], []
    for label in labels.unique():
        rows = numbers[labels == label]
        if len(rows) < _FEWEST_TO_PERMUTE:
            continue
        wrong, column = permute_one_column(rows.numpy(), generator=generator)
        each = np.arange(len(rows))
        changed.append(wrong[each, column] != rows.numpy()[each, column])
        of_class = torch.full((len(rows),), int(label))
        plausibility = witness.plausibility(witness.log_density(torch.from_numpy(wrong), of_class), of_class)
        scores.append(plausibility)
    return permutation_rejection(np.concatenate(scores), _LEVEL, changed=np.concatenate(changed))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _error_of_difference(own: np.ndarray, other: np.ndarray, *, paired: bool) -> float:
    """The standard error of the difference of two means; NaN where a log-density is infinite."""
    with np.errstate(invalid="ignore"):
        if paired:
            return float((own - other).std(ddof=1) / np.sqrt(len(own)))
        return float(np.sqrt(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other)))
