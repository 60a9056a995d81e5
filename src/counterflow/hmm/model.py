"""A hidden Markov model whose emissions are flows."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.flows import Flow
from counterflow.hmm._viterbi import viterbi
from counterflow.hmm.blocks import Law
from counterflow.hmm.forward import Filtered, forward_filter
from counterflow.hmm.smoothing import Smoothed, smooth

__all__ = ["FlowMarkovModel", "observed"]

_ROWS_AT_ONCE = 1 << 16


class FlowMarkovModel(nn.Module):
    r"""A hidden Markov chain that emits points of flows, one flow for each state.

    .. math:: p(x_{1:T}) = \sum_{s_{1:T}} \pi_{s_1}\, p_{s_1}(x_1) \prod_{t=2}^T A_{s_{t-1} s_t}\, p_{s_t}(x_t)

    Calling it gives the log-density of each observation under each state, in double precision. A row that holds NaN is
    an observation that was not made: its log-density is 0 under every state, and time passes.

    Args:
        emissions: An unconditional flow for each state, all of points of one length.
        log_start: The logarithm of the law of first states; ``None`` for equal chances.
        log_transition: The logarithm of the transition matrix; ``None`` for equal chances.

    Raises:
        ArgumentError: There is no flow, or one is conditional.
        ShapeError: The flows differ in the length of their points.

    Reference:
        Lorek, Nowak, Trzcinski, Zieba, "FlowHMM: Flow-based continuous hidden Markov models", 2022.

    Example:
        >>> from counterflow import flows
        >>> model = FlowMarkovModel([flows.spline_coupling(1), flows.spline_coupling(1)])
        >>> model(torch.zeros(5, 1)).shape, model.filter(torch.zeros(5, 1)).log_predictive.shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    log_start: Tensor
    log_transition: Tensor

    def __init__(
        self,
        emissions: Iterable[Flow],
        *,
        log_start: Float[Tensor, " states"] | None = None,
        log_transition: Float[Tensor, "states states"] | None = None,
    ) -> None:
        super().__init__()
        self.emissions = nn.ModuleList(emissions)
        _check_emissions(self.flows)
        even = torch.zeros(self.states, self.states, dtype=torch.float64).log_softmax(-1)
        self.register_buffer("log_start", even[0].clone() if log_start is None else log_start.double())
        self.register_buffer("log_transition", even if log_transition is None else log_transition.double())

    @property
    def flows(self) -> list[Flow]:
        """The flow of each state."""
        return [flow for flow in self.emissions if isinstance(flow, Flow)]

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self.emissions)

    @property
    def features(self) -> int:
        """The length of an observation."""
        return self.flows[0].features

    @property
    def law(self) -> Law:
        """How states begin and follow each other, in double precision whatever the model was cast to."""
        return Law(self.log_start.double(), self.log_transition.double())

    def forward(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows states"]:
        """Compute the log-density of each observation under each state."""
        x = x.to(self.flows[0].dtype)
        made = observed(x)
        points = torch.where(made.unsqueeze(1), x, 0.0)
        density = torch.stack([flow(points) for flow in self.flows], 1).double()
        return torch.where(made.unsqueeze(1), density, 0.0)

    @torch.no_grad()
    def log_density(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows states"]:
        """The same without gradients, some rows at a time: memory grows by one number per row and state."""
        return torch.cat([self(part) for part in x.split(_ROWS_AT_ONCE)])

    def filter(self, x: Float[Tensor, "rows features"], lengths: Sequence[int] | None = None) -> Filtered:
        """What the past says of each state: :func:`~counterflow.hmm.forward_filter`."""
        return forward_filter(self.log_density(x), **self.law._asdict(), lengths=lengths)

    def smooth(self, x: Float[Tensor, "rows features"], lengths: Sequence[int] | None = None) -> Smoothed:
        """What all observations say: :func:`~counterflow.hmm.smooth`."""
        return smooth(self.log_density(x), **self.law._asdict(), lengths=lengths)

    def decode(self, x: Float[Tensor, "rows features"], lengths: Sequence[int] | None = None) -> Int[Tensor, " rows"]:
        """The most probable path: :func:`~counterflow.hmm.viterbi`."""
        return viterbi(self.log_density(x), **self.law._asdict(), lengths=lengths)

    @torch.no_grad()
    def set_law(
        self,
        starts: Float[Tensor, " states"],
        transitions: Float[Tensor, "states states"],
        *,
        pseudo_count: float = 0.0,
    ) -> None:
        r"""Set the law of states from how often each begins and follows each other.

        .. math:: A_{ij} = \frac{n_{ij} + c}{\sum_k n_{ik} + c}, \qquad \pi_j = \frac{n_j + c}{\sum_k n_k + c}

        Args:
            starts: How often each state begins.
            transitions: How often each is followed by each other.
            pseudo_count: c, what is added to every count.
        """
        self.log_start.copy_(_shares(starts + pseudo_count).log())
        self.log_transition.copy_(_shares(transitions + pseudo_count).log())

    def extra_repr(self) -> str:
        """Name the numbers of states and features."""
        return f"states={self.states}, features={self.features}"


def observed(x: Float[Tensor, "rows features"]) -> Bool[Tensor, " rows"]:
    """Which observations were made: the rows without NaN.

    Example:
        >>> observed(torch.tensor([[0.0], [float("nan")]])).tolist()
        [True, False]
    """
    return ~x.isnan().any(1)


def _shares(counts: Tensor) -> Tensor:
    """Counts as shares of their row; equal ones where there is nothing to count."""
    counts = torch.where(counts.sum(-1, keepdim=True) > 0, counts, 1.0)
    return counts / counts.sum(-1, keepdim=True)


def _check_emissions(flows: list[Flow]) -> None:
    if not flows or any(flow.context_features for flow in flows):
        raise ArgumentError("emissions must be one unconditional flow or more. Build them with context_features=0.")
    shapes = {flow.event_shape for flow in flows}
    if len(shapes) > 1 or len(flows[0].event_shape) != 1:
        raise ShapeError(f"emissions must share the shape (features,) of a point, got {shapes}. Build them alike.")
