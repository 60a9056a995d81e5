"""Flows in continuous time against peers: one net with one set of weights, one tolerance, both divergences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.race import Tell, record
from benchmarks.timing import USUAL, Local, Plan, take_turns
from counterflow import flows
from counterflow.bijections import Continuous, solve_report
from counterflow.core.ode import AdaptiveSolver
from counterflow.nets import VelocityMLP

__all__ = ["CONTINUOUS_SIZES", "ContinuousSize", "run_continuous"]

OURS = "counterflow"
TOLERANCE = 1e-5
LEARNING_RATE = 1e-4
LogProb = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ContinuousSize:
    """How large a flow is, and how many rows it sees at once.

    Args:
        features: Number of features D.
        hidden: Width H of the two hidden layers of the velocity.
        batch: Rows in a batch.
    """

    features: int
    hidden: int
    batch: int


CONTINUOUS_SIZES = {"D=8, 256 rows": ContinuousSize(8, 64, 256), "D=2, 1024 rows": ContinuousSize(2, 64, 1024)}


class Net(nn.Module):
    """The velocity of the peers: a perceptron of state and time side by side."""

    def __init__(self, twin: VelocityMLP) -> None:
        super().__init__()
        first, second, last = (nn.Linear(b.in_features + (i == 0), b.out_features) for i, b in enumerate(twin.layers))
        self.net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last)
        with torch.no_grad():
            first.weight.copy_(torch.cat((twin.layers[0].weight, twin.conditioning.joined), 1))
            first.bias.copy_(twin.layers[0].bias)
            for mine, other in ((second, twin.layers[1]), (last, twin.layers[2])):
                mine.load_state_dict(other.state_dict())

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(torch.cat((x, t.expand(len(x), 1)), 1))


def make_velocity(size: ContinuousSize) -> VelocityMLP:
    """Make a velocity that has something to solve: its density is far from the base's."""
    generator = torch.Generator().manual_seed(0)
    velocity = VelocityMLP(size.features, hidden=(size.hidden, size.hidden), zero=False, generator=generator)
    with torch.no_grad():
        for parameter in velocity.parameters():
            parameter.mul_(2.0)
    return velocity


def _ours(velocity: VelocityMLP, divergence: str) -> tuple[nn.Module, LogProb]:
    flow = flows.compose(_bijection(velocity, divergence))
    return flow, flow.log_prob


def _bijection(velocity: VelocityMLP, divergence: str) -> Continuous:
    solver = AdaptiveSolver(atol=TOLERANCE, rtol=TOLERANCE)
    return Continuous(velocity, velocity.features, divergence=divergence, solver=solver)


def _rows(size: ContinuousSize) -> Tensor:
    return torch.randn(size.batch, size.features, generator=torch.Generator().manual_seed(1))


def _zuko(velocity: VelocityMLP, divergence: str) -> tuple[nn.Module, LogProb]:
    import zuko

    net = Net(velocity)
    base = zuko.distributions.DiagNormal(torch.zeros(velocity.features), torch.ones(velocity.features))

    def log_prob(x: Tensor) -> Tensor:
        transform = zuko.transforms.FreeFormJacobianTransform(
            net, phi=net.parameters(), atol=TOLERANCE, rtol=TOLERANCE, exact=divergence == "exact"
        )
        return zuko.distributions.NormalizingFlow(transform, base).log_prob(x)

    return net, log_prob


def _torchdiffeq(velocity: VelocityMLP, divergence: str, *, adjoint: bool) -> tuple[nn.Module, LogProb]:
    import torchdiffeq

    net = Net(velocity)
    odeint = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint
    times = torch.tensor([0.0, 1.0])

    class Augmented(nn.Module):
        """State and log-determinant, as in FFJORD."""

        def __init__(self, x: Tensor) -> None:
            super().__init__()
            self.net, self.noise = net, torch.randint(2, x.shape).to(x) * 2 - 1

        def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            keep = torch.is_grad_enabled()
            with torch.enable_grad():
                x = state[0] if state[0].requires_grad else state[0].detach().requires_grad_()
                value = self.net(t, x)
                if divergence == "exact":
                    parts = [
                        torch.autograd.grad(value[:, i].sum(), x, create_graph=keep, retain_graph=True)[0][:, i]
                        for i in range(x.shape[1])
                    ]
                    trace = torch.stack(parts).sum(0)
                else:
                    trace = (torch.autograd.grad(value, x, self.noise, create_graph=keep)[0] * self.noise).sum(1)
            return value, trace

    def log_prob(x: Tensor) -> Tensor:
        start = (x, torch.zeros(len(x)))
        z, log_det = odeint(Augmented(x), start, times, atol=TOLERANCE, rtol=TOLERANCE, method="dopri5")
        return torch.distributions.Normal(0.0, 1.0).log_prob(z[-1]).sum(1) + log_det[-1]

    return net, log_prob


def _contestants(size: ContinuousSize, divergence: str) -> dict[str, tuple[nn.Module, LogProb]]:
    return {
        OURS: _ours(make_velocity(size), divergence),
        "zuko": _zuko(make_velocity(size), divergence),
        "torchdiffeq": _torchdiffeq(make_velocity(size), divergence, adjoint=False),
        "torchdiffeq, adjoint": _torchdiffeq(make_velocity(size), divergence, adjoint=True),
    }


def _calls(contestant: tuple[nn.Module, LogProb], x: Tensor) -> dict[str, Callable[[], object]]:
    module, log_prob = contestant
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)

    def train_step() -> None:
        optimizer.zero_grad()
        (-log_prob(x).mean()).backward()
        optimizer.step()

    @torch.no_grad()
    def density() -> Tensor:
        return log_prob(x)

    return {"log_prob": density, "train step": train_step}


def check_agreement(contestants: Mapping[str, tuple[nn.Module, LogProb]], x: Tensor) -> None:
    """See that all compute the same log-densities from the same weights.

    Raises:
        RuntimeError: One does not, so that its times mean nothing.
    """
    with torch.no_grad():
        found = {name: log_prob(x) for name, (_, log_prob) in contestants.items()}
    for name, values in found.items():
        if not torch.allclose(values, found[OURS], rtol=1e-3, atol=5e-3):
            worst = (values - found[OURS]).abs().max().item()
            raise RuntimeError(f"{name} must agree with {OURS}, got differences up to {worst}.")


def run_continuous(
    *,
    sizes: Mapping[str, ContinuousSize] = CONTINUOUS_SIZES,
    divergences: Sequence[str] = ("exact", "hutchinson"),
    plan: Plan = USUAL,
    tell: Tell = print,
) -> dict[str, Any]:
    """Time log-densities and training steps of flows in continuous time.

    Args:
        sizes: Sizes by name.
        divergences: ``"exact"`` and ``"hutchinson"``, or one of them.
        plan: How many rounds.
        tell: Called with a line for each comparison.

    Returns:
        Settings, medians and ratios, as plain data.
    """
    rows: list[dict[str, Any]] = []
    for label, size in sizes.items():
        x = _rows(size)
        for divergence in divergences:
            contestants = _contestants(size, divergence)
            if divergence == "exact":
                check_agreement(contestants, x)
            calls = {name: _calls(contestant, x) for name, contestant in contestants.items()}
            for operation in ("log_prob", "train step"):
                turns = take_turns({name: Local(call[operation]) for name, call in calls.items()}, plan)
                rows.append({"size": label, "divergence": divergence, "operation": operation, **record(turns)})
                times = {name: f"{t['median_ms']:.1f} ms" for name, t in rows[-1]["times"].items()}
                tell(f"{label}, {divergence}, {operation}: " + ", ".join(f"{n} {t}" for n, t in times.items()))
    report = {
        label: asdict(solve_report(_bijection(make_velocity(size), "exact"), _rows(size)))
        for label, size in sizes.items()
    }
    return {
        "settings": {"tolerance": TOLERANCE, "activation": "tanh", "dtype": "float32", "plan": asdict(plan)},
        "sizes": {label: asdict(size) for label, size in sizes.items()},
        "solutions": report,
        "rows": rows,
    }
