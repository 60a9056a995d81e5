"""Many small classifiers trained at once: one network each, all in the same matrix products."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.checks import check_count, check_finite
from counterflow.core.errors import ShapeError
from counterflow.core.threads import one_thread

__all__ = ["ClassifierSettings", "StackedClassifier", "fit_stack"]


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """How each network is trained; as it stands, the way scikit-learn's ``MLPClassifier`` does it.

    Args:
        batch_size: Rows a step; fewer if there are not so many.
        learning_rate: Of Adam, whose other settings are (0.9, 0.999, 1e-8).
        penalty: Of the squared weights, biases left out: half of it per batch is added to the loss.
        tolerance: What the loss of an epoch must gain on the best so far, to count as progress.
        patience: How many epochs without progress are borne before a network is done.
        max_epochs: The most epochs.
    """

    batch_size: int = 200
    learning_rate: float = 1e-3
    penalty: float = 1e-4
    tolerance: float = 1e-4
    patience: int = 10
    max_epochs: int = 10_000


@dataclass(frozen=True)
class StackedClassifier:
    """Networks with two hidden layers of ReLU units, side by side.

    Args:
        weights: Of the three layers: each (models, inputs, outputs).
        biases: Of the three layers: each (models, 1, outputs).
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def logits(self, points: Float[Tensor, "rows features"]) -> Float[Tensor, "models rows"]:
        """The log-odds of label 1 that each network gives each point."""
        x = points.to(self.weights[0]).expand(len(self.weights[0]), *points.shape)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.baddbmm(bias, x, weight).relu_()
        return torch.baddbmm(self.biases[-1], x, self.weights[-1]).squeeze(-1)


def fit_stack(
    points: Float[Tensor, "n features"],
    labels: Float[Tensor, "models n"],
    *,
    rows: Int[Tensor, "_ m"],
    hidden: int,
    generator: torch.Generator,
    settings: ClassifierSettings | None = None,
) -> StackedClassifier:
    r"""Train one network per row of ``labels``, each on rows of its own, until the last of them is done.

    .. math:: \min_\theta \frac1B \sum_i \log(1 + e^{\ell_i}) - y_i \ell_i + \frac{\lambda}{2B} \|W\|^2

    The rule of each network is scikit-learn's (``MLPClassifier``: batches, start, Adam, when to stop); only the sums
    are made together. Networks that are done leave the stack, so that the others go on faster.

    Args:
        points: (n, features), shared by all; of about unit scale.
        labels: (models, n), 0 or 1: what each network shall tell of each point.
        rows: (models, m), which points each network sees.
        hidden: The units of each of the two hidden layers.
        generator: Draws the first weights and the batches.
        settings: How to train.

    Returns:
        The networks as their training left them.

    Raises:
        ShapeError: If ``labels`` and ``rows`` are not of the same number of models.
        ArgumentError: If a point is not finite.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 1, generator=g)
        >>> stack = fit_stack(x, (x.T > 0).float(), rows=torch.arange(400)[None], hidden=10, generator=g)
        >>> (stack.logits(torch.tensor([[-1.0], [1.0]])) > 0).tolist()
        [[False, True]]
    """
    check_count(hidden, "hidden")
    check_finite(points, "points")
    if len(labels) != len(rows):
        raise ShapeError(f"labels and rows must be of one number of models, got {len(labels)} and {len(rows)}.")
    points, labels = points.float().contiguous(), labels.float()
    with one_thread(), torch.no_grad():
        stack = _Stack(_start(len(rows), (points.shape[1], hidden, hidden, 1), generator))
        return _train(stack, _Task(points, labels, rows, generator, settings or ClassifierSettings()))


def _train(stack: "_Stack", task: "_Task") -> StackedClassifier:
    settings, models = task.settings, len(task.rows)
    left = torch.arange(models)
    best, bad = torch.full((models,), math.inf), torch.zeros(models, dtype=torch.long)
    done: list[tuple[int, tuple[Tensor, ...]]] = []
    for epoch in range(settings.max_epochs):
        loss = stack.epoch(task.batches(left), settings)
        bad = torch.where(loss > best - settings.tolerance, bad + 1, 0)
        best = torch.minimum(best, loss)
        going = bad <= settings.patience if epoch + 1 < settings.max_epochs else torch.zeros_like(bad, dtype=torch.bool)
        if not going.all():
            layers = stack.layers
            done += [(int(left[i]), tuple(p[i].clone() for p in layers)) for i in (~going).nonzero().flatten().tolist()]
            if not going.any():
                break
            stack.keep(going)
            left, best, bad = left[going], best[going], bad[going]
    ordered = [parameters for _, parameters in sorted(done, key=lambda pair: pair[0])]
    layers = tuple(torch.stack(layer) for layer in zip(*ordered, strict=True))
    return StackedClassifier(layers[0::2], layers[1::2])


def _start(models: int, sizes: tuple[int, ...], generator: torch.Generator) -> list[Tensor]:
    """Weights and biases of each layer, uniform within Glorot's bound."""
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        bound = math.sqrt(6 / (inputs + outputs))
        for shape in ((models, inputs, outputs), (models, 1, outputs)):
            layers.append((2 * torch.rand(shape, generator=generator) - 1) * bound)
    return layers


@dataclass(frozen=True)
class _Task:
    points: Tensor
    labels: Tensor
    rows: Tensor
    generator: torch.Generator
    settings: ClassifierSettings

    def batches(self, models: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The points and labels of each step of an epoch, shuffled for each network on its own."""
        orders = [self.rows[i][torch.randperm(self.rows.shape[1], generator=self.generator)] for i in models.tolist()]
        for rows in torch.stack(orders).split(self.settings.batch_size, dim=1):
            x = self.points.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
            yield x, self.labels[models[:, None], rows].unsqueeze(-1)


@dataclass
class _Stack:
    """The parameters in one flat tensor, their gradients and moments in others of the same layout."""

    start: list[Tensor]
    steps: int = 0
    flat: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        parameters = torch.cat([p.reshape(-1) for p in self.start])
        decay = torch.cat([torch.full((p.numel(),), float(i % 2 == 0)) for i, p in enumerate(self.start)])
        self.flat = [parameters, torch.zeros_like(parameters), torch.zeros_like(parameters)]
        self._prepare(decay)

    def _prepare(self, decay: Tensor) -> None:
        self.decay, self.gradient = decay, torch.zeros_like(decay)
        self.layers, self.slopes = self._views(self.flat[0]), self._views(self.gradient)

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([p.numel() for p in self.start])
        return [part.view(p.shape) for part, p in zip(parts, self.start, strict=True)]

    def keep(self, going: Tensor) -> None:
        """Go on with some of the networks only."""
        chosen = [[part[going] for part in self._views(flat)] for flat in (*self.flat, self.decay)]
        self.start = chosen[0]
        *self.flat, decay = [torch.cat([part.reshape(-1) for part in parts]) for parts in chosen]
        self._prepare(decay)

    def epoch(self, batches: Iterator[tuple[Tensor, Tensor]], settings: ClassifierSettings) -> Tensor:
        """Step through all batches; the mean loss of each network."""
        total, count = torch.zeros(len(self.layers[0])), 0
        for x, y in batches:
            total += self._gradient(x, y)
            self._adam(settings.learning_rate, settings.penalty / x.shape[1])
            count += x.shape[1]
        squares = sum(weight.square().sum((1, 2)) for weight in self.layers[0::2])
        return total / count + squares * settings.penalty / (2 * settings.batch_size)

    def _gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """Back-propagation written out: autograd would take longer to keep its books than the sums take."""
        w1, b1, w2, b2, w3, b3 = self.layers
        g1, c1, g2, c2, g3, c3 = self.slopes
        h1 = torch.baddbmm(b1, x, w1).relu_()
        h2 = torch.baddbmm(b2, h1, w2).relu_()
        logits = torch.baddbmm(b3, h2, w3)
        loss = torch.nn.functional.softplus(logits).sub_(logits * y).sum((1, 2))
        d3 = logits.sigmoid_().sub_(y).div_(x.shape[1])
        d2 = torch.ops.aten.threshold_backward(d3 * w3.mT, h2, 0)
        d1 = torch.ops.aten.threshold_backward(torch.bmm(d2, w2.mT), h1, 0)
        for weight, bias, inputs, delta in ((g3, c3, h2, d3), (g2, c2, h1, d2), (g1, c1, x, d1)):
            torch.bmm(inputs.mT, delta, out=weight)
            torch.sum(delta, 1, keepdim=True, out=bias)
        return loss

    def _adam(self, rate: float, decay: float) -> None:
        parameters, first, second = self.flat
        self.steps += 1
        gradient = self.gradient.addcmul_(parameters, self.decay, value=decay)
        first.lerp_(gradient, 0.1)
        second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        rate = rate * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        parameters.addcdiv_(first, second.sqrt().add_(1e-8), value=-rate)
