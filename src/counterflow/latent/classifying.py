"""Classification by Bayes' rule: which class makes a latent most probable."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.latent.attributes import ClassAttribute
from counterflow.latent.columns import Value

__all__ = ["Classification", "bayes_rule", "checked_prior"]


@dataclass(frozen=True, eq=False)
class Classification:
    """How probable each class is for each point.

    Args:
        attribute: What was asked for.
        classes: Its values, in the order of the columns.
        probabilities: Their posterior probabilities.
        log_density: The natural log-density of each latent with the class summed out: low where a point is unlike all.

    Example:
        >>> found = Classification("smile", (0, 1), torch.tensor([[0.2, 0.8]]), torch.tensor([-3.0]))
        >>> found.labels
        [1]
    """

    attribute: str
    classes: tuple[Value, ...]
    probabilities: Float[Tensor, "rows classes"]
    log_density: Float[Tensor, " rows"]

    @property
    def labels(self) -> list[Value]:
        """The most probable class of each point."""
        return [self.classes[place] for place in self.probabilities.argmax(1).tolist()]


def bayes_rule(
    log_likelihood: Float[Tensor, "classes rows"], prior: Float[Tensor, " classes"]
) -> tuple[Float[Tensor, "rows classes"], Float[Tensor, " rows"]]:
    r"""Turn densities under each class into probabilities of the classes.

    .. math:: p(y \mid z) = \frac{p(y)\, p(z \mid y)}{\sum_{y'} p(y')\, p(z \mid y')}

    Args:
        log_likelihood: The natural log-density of each point under each class.
        prior: The probability of each class.

    Returns:
        The probabilities, and the logarithm of the denominator.

    Example:
        >>> bayes_rule(torch.tensor([[0.0], [0.0]]), torch.tensor([0.25, 0.75]))[0]
        tensor([[0.2500, 0.7500]])
    """
    joint = log_likelihood + prior.to(log_likelihood).log()[:, None]
    evidence = joint.logsumexp(0)
    return (joint - evidence).exp().T, evidence


def checked_prior(prior: Float[Tensor, " classes"] | Sequence[float | int], member: ClassAttribute) -> Tensor:
    """Read a prior over the classes of an attribute; what is given is scaled to sum to 1.

    Raises:
        ArgumentError: There is not one number of at least 0 for each class, or all are 0.
    """
    shares = torch.as_tensor(prior, dtype=torch.float64)
    if shares.shape != (member.width,) or not bool((shares.isfinite() & (shares >= 0)).all()) or not shares.sum() > 0:
        raise ArgumentError(
            f"prior must have one number of at least 0 for each of the classes {member.classes}, got "
            f"{shares.tolist()}. Leave it out for the shares of the training data."
        )
    return shares / shares.sum()
