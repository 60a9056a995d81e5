"""A posterior learned from simulations: amortized, so that any observation is answered at once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.errors import PersistenceError, ShapeError
from counterflow.flows.ensemble import Ensemble
from counterflow.flows.heads import Head, head_from_plain, head_to_plain
from counterflow.inference.ensembles import build_ensemble
from counterflow.inference.heads import Target
from counterflow.nets.embeddings import Embedding, EmbeddingLike
from counterflow.nets.observations import ObservationReader
from counterflow.persistence import join_parts, load_folder, save_folder
from counterflow.training import FitReport

__all__ = ["ObservedPosterior", "Posterior"]

_KIND = "posterior"


@dataclass(frozen=True, eq=False)
class Posterior:
    r"""What was learned of the parameters behind an observation: :math:`q(\theta \mid x)`, for any x.

    Log-densities are natural, in the space of the parameters as the simulator takes them, and integrate to 1 over
    the support of the prior: there is no mass beyond its bounds.

    Args:
        ensemble: The densities.
        reader: What standardizes observations.
        target: The bounds of the parameters.
        head: The form of the densities.
        embedding: What reads observations for them.
        prior_note: What the prior was, if it is not the one that was drawn from.
        reports: How each member was trained.
    """

    ensemble: Ensemble
    reader: ObservationReader
    target: Target
    head: Head
    embedding: EmbeddingLike
    prior_note: str = ""
    reports: tuple[FitReport, ...] = ()

    def sample(
        self, count: int, x: Float[Tensor, "*shape"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "count parameters"]:
        """Draw parameters for one observation.

        Args:
            count: How many.
            x: One observation, as the simulator gives it (a batch of one is taken, too).
            generator: Where draws come from.

        Raises:
            ShapeError: If it does not have the shape of the simulated ones.
            ArgumentError: If a value is infinite, or missing where none was in training.
        """
        return self.sample_each(count, self._one(x), generator=generator)[0]

    def sample_each(
        self, count: int, xs: Float[Tensor, "rows *shape"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows count parameters"]:
        """Draw parameters for each of several observations; errors as in :meth:`sample`."""
        check_count(count, "count")
        return self.ensemble.sample(count, self.reader(xs), generator=generator)

    def log_prob(self, theta: Float[Tensor, "*_"], x: Float[Tensor, "*shape"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density of parameters; ``-inf`` beyond the bounds of the prior.

        Args:
            theta: Parameters, ``(rows, parameters)``.
            x: One observation for all of them, or one for each.
        """
        if theta.dim() != 2 or theta.shape[1] != self.target.features:
            raise ShapeError(
                f"theta must have shape (rows, {self.target.features}), got {tuple(theta.shape)}. "
                "Give one row for each parameter vector."
            )
        context = self.reader(x if x.dim() > self._dimensions else self._one(x))
        inside = ((theta >= self.target.low) & (theta <= self.target.high)).all(1)
        return torch.where(inside, self.ensemble(theta.to(self.target.low), context), -torch.inf)

    def at(self, x: Float[Tensor, "*shape"]) -> "ObservedPosterior":
        """Fix one observation: a density of parameters alone, to draw from and to weigh."""
        return ObservedPosterior(self, self._one(x))

    def mode(
        self, x: Float[Tensor, "*shape"], *, draws: int = 1000, generator: torch.Generator | None = None
    ) -> Float[Tensor, " parameters"]:
        """Find the parameters of the highest density: the best of some draws, improved by gradient steps."""
        theta = self.sample(draws, x, generator=generator)
        with torch.no_grad():
            best = theta[self.log_prob(theta, x).argmax()].clone()
        scale = theta.std(0)
        step = torch.zeros_like(best, requires_grad=True)
        optimizer = torch.optim.LBFGS([step], max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = -self.ensemble((best + scale * step).unsqueeze(0), self.reader(self._one(x))).sum()
            value.backward()
            return value

        optimizer.step(loss)  # type: ignore[arg-type]
        found = torch.stack([best, best + scale * step.detach()])
        with torch.no_grad():
            return found[self.log_prob(found, x).nan_to_num(-torch.inf).argmax()]

    def save(self, folder: str | Path) -> None:
        """Save to a folder of JSON and safetensors; :meth:`load` reads it. No simulation is stored."""
        custom = not isinstance(self.embedding, Embedding)
        config = {
            "head": head_to_plain(self.head),
            "embedding": None if custom else self.embedding.config,  # type: ignore[union-attr]
            "reader": self.reader.config,
            "members": len(self.ensemble.members),
            "prior_note": self.prior_note,
        }
        bounds = {"low": self.target.low, "high": self.target.high}
        parts = {"ensemble": self.ensemble.state_dict(), "reader": self.reader.state_dict(), "target": bounds}
        save_folder(folder, _KIND, config=config, tensors=join_parts(parts))

    @classmethod
    def load(cls, folder: str | Path, *, embedding: Callable[[], nn.Module] | None = None) -> "Posterior":
        """Load what :meth:`save` wrote.

        Args:
            folder: The folder.
            embedding: What built the embedding, if it was one of your own.

        Raises:
            PersistenceError: If the folder is missing, damaged or of another kind, or an embedding of your own is not
                given.
        """
        saved = load_folder(folder, _KIND)
        config = saved.config
        if config["embedding"] is None and embedding is None:
            raise PersistenceError(
                f"'{folder}' was learned with an embedding of your own: pass the function that built it as embedding=."
            )
        reader = _reader_from(config["reader"])
        reader.load_state_dict(saved.part("reader"))
        target = Target(**saved.part("target"))
        head = head_from_plain(config["head"])
        form: EmbeddingLike = embedding if config["embedding"] is None else _embedding_from(config["embedding"])  # type: ignore[assignment]
        ensemble = build_ensemble(head, target, reader, embedding=form, members=config["members"])
        ensemble.load_state_dict(saved.part("ensemble"))
        return cls(ensemble.eval(), reader, target, head, form, config["prior_note"])

    @property
    def _dimensions(self) -> int:
        return len(self.reader.shape)

    def _one(self, x: Tensor) -> Tensor:
        """One observation as a batch of one."""
        batch = x.unsqueeze(0) if x.dim() == self._dimensions else x
        if x.dim() not in (self._dimensions, self._dimensions + 1) or len(batch) != 1:
            raise ShapeError(
                f"x must be one observation of shape {self.reader.shape}, got {tuple(x.shape)}. "
                "sample_each takes several."
            )
        return batch


@dataclass(frozen=True, eq=False)
class ObservedPosterior:
    """A posterior with its observation fixed: a proposal for importance sampling, rejection and chains.

    Args:
        posterior: The posterior for any observation.
        x: This observation, as a batch of one.
    """

    posterior: Posterior
    x: Float[Tensor, "1 *shape"]

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n parameters"]:
        """Draw parameters."""
        return self.posterior.sample(n, self.x, generator=generator)

    def log_prob(self, theta: Float[Tensor, "rows parameters"]) -> Float[Tensor, " rows"]:
        """Compute their natural log-density."""
        return self.posterior.log_prob(theta, self.x)

    @torch.no_grad()
    def sample_and_log_prob(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "n parameters"], Float[Tensor, " n"]]:
        """Draw parameters with their log-densities."""
        theta = self.sample(n, generator=generator)
        return theta, self.log_prob(theta)


def _reader_from(config: dict[str, Any]) -> ObservationReader:
    return ObservationReader(tuple(config["shape"]), missing=config["missing"], trials=config["trials"])


def _embedding_from(config: dict[str, Any]) -> Embedding:
    return Embedding(config["kind"], config["outputs"], tuple(config["hidden"]))
