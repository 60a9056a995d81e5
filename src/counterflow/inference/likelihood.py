"""A likelihood learned from simulations: of any number of independent trials, of continuous and discrete data."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_finite
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.flows.ensemble import Ensemble
from counterflow.flows.heads import Head, SplineHead, head_from_plain, head_to_plain
from counterflow.inference.ensembles import build_ensemble
from counterflow.inference.heads import Target
from counterflow.inference.masses import DiscreteMass, Levels
from counterflow.inference.priors import Prior, as_prior
from counterflow.inference.target import PosteriorTarget
from counterflow.nets.embeddings import Embedding
from counterflow.nets.observations import ObservationReader
from counterflow.persistence import join_parts, load_folder, save_folder
from counterflow.training import FitReport

__all__ = ["Likelihood"]

_KIND = "likelihood"
_PAIRS_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class Likelihood:
    r"""What was learned of the data given parameters: :math:`q(x \mid \theta)`.

    .. math:: \log q(x_{1..n} \mid \theta) = \sum_i \big( \log P(d_i \mid \theta) + \log q(c_i \mid d_i, \theta)
        \big)

    where d are the discrete columns of a trial and c the continuous ones. Log-densities are natural, in the space of
    the data as the simulator gives them.

    Args:
        features: The number of columns of one trial.
        discrete: Which columns are discrete.
        prior: The prior that the parameters were drawn from.
        theta_reader: What standardizes parameters.
        density: The density of the continuous columns; ``None`` if there are none.
        mass: The probability of the discrete ones; ``None`` if there are none.
        head: The form of the density.
        note: What became of the prior, where simulations failed.
        reports: How the parts were trained.
    """

    features: int
    discrete: tuple[int, ...]
    prior: Prior
    theta_reader: ObservationReader
    density: Ensemble | None
    mass: DiscreteMass | None
    head: Head
    note: str = ""
    reports: tuple[FitReport, ...] = ()

    @property
    def continuous(self) -> tuple[int, ...]:
        """Which columns are continuous."""
        return tuple(i for i in range(self.features) if i not in self.discrete)

    def log_prob(self, x: Float[Tensor, "*trials"], theta: Float[Tensor, "*rows"]) -> Float[Tensor, " _"]:
        """Compute the natural log-likelihood of one observation for each of several parameter vectors.

        Args:
            x: One trial ``(features,)``, or several independent ones ``(trials, features)``, whose terms are added.
            theta: Parameters, ``(rows, parameters)``.

        Returns:
            One number for each row of parameters.

        Raises:
            ShapeError: If a shape is wrong.
            ArgumentError: If the data are not finite.
        """
        trials = self._trials(x)
        self._check_theta(theta)
        rows = max(1, _PAIRS_AT_ONCE // len(trials))
        return torch.cat([self._summed(trials, part) for part in theta.split(rows)])

    def each(self, x: Float[Tensor, "rows features"], theta: Float[Tensor, "rows _"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-likelihood of each row of data under its own row of parameters."""
        read, total = self.theta_reader(theta), theta.new_zeros(len(theta))
        if self.mass is not None:
            discrete = x[:, list(self.discrete)]
            total = total + self.mass(discrete, read)
            read = self.mass.levels.beside(read, discrete)
        if self.density is not None:
            total = total + self.density(x[:, list(self.continuous)], read)
        return total

    @torch.no_grad()
    def sample(
        self, theta: Float[Tensor, "rows _"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows features"]:
        """Draw one trial for each row of parameters: an emulator of the simulator."""
        self._check_theta(theta)
        read, x = self.theta_reader(theta), theta.new_zeros(len(theta), self.features)
        if self.mass is not None:
            discrete = self.mass.sample(read, generator=generator)
            x[:, list(self.discrete)] = discrete
            read = self.mass.levels.beside(read, discrete)
        if self.density is not None:
            x[:, list(self.continuous)] = self.density.sample(1, read, generator=generator).squeeze(1)
        return x

    def posterior(self, x: Float[Tensor, "*trials"], *, prior: Prior | None = None) -> PosteriorTarget:
        r"""Give the unnormalized posterior of one observation, to be drawn from by a method of your choice.

        Args:
            x: One trial or several, as in :meth:`log_prob`.
            prior: Another prior than that of the simulations; a likelihood stays right under any that has no mass
                where there were no simulations.
        """
        trials = self._trials(x)
        return PosteriorTarget(lambda theta: self.log_prob(trials, theta), prior or self.prior)

    def save(self, folder: str | Path) -> None:
        """Save to a folder of JSON and safetensors, without the prior; :meth:`load` reads it."""
        config = {
            "features": self.features,
            "discrete": list(self.discrete),
            "parameters": self.prior.features,
            "head": None if self.density is None else head_to_plain(self.head),
            "members": 0 if self.density is None else len(self.density.members),
            "levels": [] if self.mass is None else self.mass.levels.sizes,
            "note": self.note,
        }
        modules = {"theta": self.theta_reader, "density": self.density, "mass": self.mass}
        parts = {name: module.state_dict() for name, module in modules.items() if module is not None}
        save_folder(folder, _KIND, config=config, tensors=join_parts(parts))

    @classmethod
    def load(cls, folder: str | Path, *, prior: object) -> "Likelihood":
        """Load what :meth:`save` wrote.

        Args:
            folder: The folder.
            prior: The prior of the parameters.

        Raises:
            PersistenceError: If the folder is missing, damaged or of another kind.
            ShapeError: If the prior has another number of parameters.
        """
        saved, prior = load_folder(folder, _KIND), as_prior(prior)
        config, count = saved.config, saved.config["parameters"]
        if prior.features != count:
            raise ShapeError(
                f"prior must have the {count} parameters of the saved likelihood, got {prior.features}. "
                "Pass the prior that it was learned with."
            )
        reader, mass, density, head = ObservationReader((count,)), None, None, SplineHead()
        reader.load_state_dict(saved.part("theta"))
        if config["levels"]:
            mass = DiscreteMass(Levels([torch.zeros(size) for size in config["levels"]]), count)
            mass.load_state_dict(saved.part("mass"))
        if config["head"] is not None:
            head = head_from_plain(config["head"])
            target = Target.unbounded(config["features"] - len(config["discrete"]))
            condition = ObservationReader((count + sum(config["levels"]),))
            density = build_ensemble(head, target, condition, embedding=Embedding(), members=config["members"])
            density.load_state_dict(saved.part("density"))
            density.eval()
        discrete = tuple(config["discrete"])
        return cls(config["features"], discrete, prior, reader, density, mass, head, config["note"])

    def _summed(self, trials: Tensor, theta: Tensor) -> Tensor:
        """Sum over all trials, each under each parameter vector."""
        x = trials.repeat(len(theta), 1)
        return self.each(x, theta.repeat_interleave(len(trials), dim=0)).view(len(theta), -1).sum(1)

    def _trials(self, x: Tensor) -> Tensor:
        trials = x.unsqueeze(0) if x.dim() == 1 else x
        if trials.dim() != 2 or trials.shape[1] != self.features or not len(trials):
            raise ShapeError(
                f"x must be one trial of shape ({self.features},) or several of shape (trials, {self.features}), got "
                f"{tuple(x.shape)}. Give trials as rows."
            )
        check_finite(trials, "x")
        return trials.to(self.theta_reader.mean)

    def _check_theta(self, theta: Tensor) -> None:
        if theta.dim() != 2 or theta.shape[1] != self.prior.features:
            raise ShapeError(
                f"theta must have shape (rows, {self.prior.features}), got {tuple(theta.shape)}. "
                "Give one row for each parameter vector."
            )
        if not theta.isfinite().all():
            raise ArgumentError("theta must be finite, got NaN or an infinite value. Check where it comes from.")
