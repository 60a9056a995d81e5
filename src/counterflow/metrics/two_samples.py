"""Can a classifier tell two samples apart? One half says that it cannot."""

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Num
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics.stacked_classifier import fit_stack

__all__ = ["Judge", "c2st", "cross_validation_folds"]

Judge: TypeAlias = Literal["mlp", "logistic", "boosting"]
Sample: TypeAlias = Num[np.ndarray, "_ _"] | Num[Tensor, "_ _"]


def c2st(
    x: Sample, y: Sample, *, classifier: Judge = "mlp", folds: int = 5, hidden: int | None = None, random_state: int = 0
) -> float:
    r"""Classifier two-sample test: the held-out accuracy of telling two samples apart; 0.5 is best, 1 is worst.

    .. math:: \frac1K \sum_k \frac1{|T_k|} \sum_{i \in T_k} \left[ \hat y_{-k}(z_i) = y_i \right]

    Both samples are shifted and scaled by mean and deviation of the first, the reference. The default is the
    benchmark's: two hidden layers of 10 times as many ReLU units as there are features, trained as scikit-learn's
    ``MLPClassifier`` trains them; all folds are trained together (:func:`fit_stack`), which is two to five times as
    fast. The value depends on how many points there are, for the networks learn their own training points by heart:
    say the sizes beside it. The two others take a second, and see less or other things: ``"logistic"`` has the
    features and their products, so it sees means and covariances and is the best judge between two Gaussians;
    ``"boosting"`` has trees. The judge to trust is the one who tells most.

    Args:
        x: (n, features), the reference sample.
        y: (m, features), the sample under test. As many as in ``x``: else one half is not the value of equality.
        classifier: Who judges.
        folds: How many parts the points are split into; each is judged by what was learned from the others.
        hidden: Units a layer of ``"mlp"``; 10 times the number of features if not given.
        random_state: The seed of folds, starts and batches.

    Returns:
        The accuracy in [0, 1], about one half if the samples are of one distribution.

    Raises:
        ShapeError: If the numbers of features differ.
        DataError: If a number is NaN or infinite.
        ArgumentError: If a sample has fewer points than there are folds.

    Reference:
        Lopez-Paz, Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017, section 3; Lueckmann et al.,
        "Benchmarking Simulation-Based Inference", AISTATS 2021, appendix M.

    Example:
        >>> normal = np.random.default_rng(0).normal(size=(1000, 2))
        >>> round(c2st(normal, normal[::-1] + 3.0, classifier="logistic"), 2)  # the normal distribution at 3 / sqrt(2)
        0.98
    """
    points, labels = _pooled(x, y, folds)
    generator = torch.Generator().manual_seed(random_state)
    rows, tests = cross_validation_folds(len(points), folds, generator=generator)
    if classifier == "mlp":
        units = hidden or 10 * points.shape[1]
        stack = fit_stack(points, labels.expand(folds, -1), rows=rows, hidden=units, generator=generator)
        judged = [stack.logits(points[test])[k] > 0 for k, test in enumerate(tests)]
    else:
        judged = [_by_sklearn(classifier, points, labels, train, test) for train, test in zip(rows, tests, strict=True)]
    hits = [(told == (labels[test] > 0)).float().mean() for told, test in zip(judged, tests, strict=True)]
    return float(torch.stack(hits).mean())


def cross_validation_folds(n: int, folds: int, *, generator: torch.Generator) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Split ``n`` points at random: what each fold trains on, and what it is tested on.

    Args:
        n: How many points.
        folds: How many parts.
        generator: Draws the parts.

    Returns:
        Training rows (folds, m), as many for each fold (so that up to one point is left out), and the test rows of
        each fold, which are all points.

    Example:
        >>> train, test = cross_validation_folds(11, 2, generator=torch.Generator().manual_seed(0))
        >>> train.shape, [len(part) for part in test]
        (torch.Size([2, 5]), [6, 5])
    """
    check_count(folds, "folds", 2)
    tests = torch.randperm(n, generator=generator).tensor_split(folds)
    m = n - max(len(test) for test in tests)
    return torch.stack([torch.cat([*tests[:k], *tests[k + 1 :]])[:m] for k in range(folds)]), tests


def _pooled(x: Sample, y: Sample, folds: int) -> tuple[Tensor, Tensor]:
    """All points, in units of the first sample, and 1 where they are of the second."""
    first, second = torch.as_tensor(x).double(), torch.as_tensor(y).double()
    if first.shape[1] != second.shape[1]:
        raise ShapeError(f"x and y must have the same features, got {first.shape[1]} and {second.shape[1]}.")
    if min(len(first), len(second)) < folds:
        raise ArgumentError(
            f"x and y must have at least {folds} points each, one for each fold, got {len(first)} and {len(second)}."
        )
    points = torch.cat([first, second])
    if not points.isfinite().all():
        raise DataError("x and y must be finite, got NaN or infinity. Leave out the draws that failed, and count them.")
    scale = first.std(0)
    points = (points - first.mean(0)) / torch.where(scale > 0, scale, 1.0)
    return points.float(), torch.cat([torch.zeros(len(first)), torch.ones(len(second))])


def _by_sklearn(classifier: Judge, points: Tensor, labels: Tensor, train: Tensor, test: Tensor) -> Tensor:
    model = _sklearn_model(classifier)
    model.fit(points[train].numpy(), labels[train].numpy())
    return torch.as_tensor(model.predict(points[test].numpy()) > 0)


def _sklearn_model(classifier: Judge) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    if classifier == "logistic":
        products = PolynomialFeatures(2, include_bias=False)
        return make_pipeline(products, StandardScaler(), LogisticRegression(max_iter=1000))
    if classifier == "boosting":
        return HistGradientBoostingClassifier(random_state=0)
    raise ArgumentError(f"classifier must be 'mlp', 'logistic' or 'boosting', got {classifier!r}.")
