"""The papers' ways to p(y | x) as settings: what reads x, and what gives the density its form."""

from dataclasses import dataclass, field
from typing import Any

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.nets import Embedding, EmbeddingLike
from counterflow.regression.heads import Base, ContinuousHead, Head, make_head
from counterflow.regression.leaves import Trees

__all__ = ["ConditionalFlow", "Method", "RegFlow", "TreeFlow", "make_method"]

_WIDTHS = {False: 2, True: 16}
"""Numbers in the embedding of leaves: beside a location, and without one."""


@dataclass(frozen=True)
class ConditionalFlow:
    """Any embedding of x under any head.

    Args:
        embedding: What reads x: an :class:`~counterflow.nets.Embedding` (perceptron, convolutions, recurrent, a set of
            trials), or a function that builds a module of your own from ``(rows, *shape)`` to vectors. The default
            hands standardized numbers on as they are: the head has nets of its own.
        head: :class:`SplineHead`, :class:`ContinuousHead`, :class:`MixtureHead` or their names.

    Example:
        >>> ConditionalFlow(head="gaussian").density
        MixtureHead(components=1, hidden=(64, 64))
    """

    embedding: EmbeddingLike = field(default_factory=Embedding)
    head: Head | str = "spline"

    def __post_init__(self) -> None:
        make_head(self.head)

    @property
    def density(self) -> Head:
        """The head, if it was named."""
        return make_head(self.head)


@dataclass(frozen=True)
class RegFlow:
    r"""A hypernetwork emits the weights of a continuous flow: p(y | x) with a net of its own for every x.

    .. math:: \theta = h(e(x)), \quad \dot z = v_\theta(t, z), \quad z(0) = y, \; z(1) \sim \mathrm{Laplace}

    Args:
        embedding: What reads x; see :class:`ConditionalFlow`.
        hidden: Widths of the hidden layers of the emitted net.
        rank: The rank of what is emitted; ``None`` for the paper's full rank. A few are far cheaper.
        base: The law of the latent; the paper's is ``"laplace"``.
        tolerance: Of the solver while it trains, see :class:`ContinuousHead`.

    Reference:
        Zieba, Przewiezlikowski, Smieja, Tabor, Trzcinski, Spurek, "RegFlow: Probabilistic Flow-based Regression for
        Future Prediction", 2020, section 3.

    Example:
        >>> RegFlow(rank=4).density.conditioning
        'hypernetwork'
    """

    embedding: EmbeddingLike = field(default_factory=lambda: Embedding("mlp", outputs=32))
    hidden: tuple[int, ...] = (32, 32)
    rank: int | None = None
    base: Base = "laplace"
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        _ = self.density  # it checks

    @property
    def density(self) -> Head:
        """The equation."""
        return ContinuousHead(self.hidden, "hypernetwork", self.rank, self.base, self.tolerance)


@dataclass(frozen=True)
class TreeFlow:
    r"""Trees read the row, a flow gives the form: leaves are embedded, and the flow starts from what trees predict.

    .. math:: p(y \mid x) = q\!\left( \frac{y - m(x)}{s} \,\Big|\, e(x) \right) \frac1s

    Where the paper has a continuous flow over the trees' leaves alone, the default here is a spline, whose location is
    the prediction of stronger trees, each row's from trees that have not seen it; ``location=None`` and
    ``head="continuous"`` give the paper's.

    Args:
        trees: How the trees are fitted whose leaves are embedded, or a fitted booster or forest. They see all rows, so
            they are few, shallow and slow: leaves that know the targets make the flow too sure of itself.
        location: How those are fitted that predict the location; ``None`` for none.
        folds: How many parts the rows are cut into for that, at least 2.
        width: Length of the embedding of the leaves; ``None`` for 2 beside a location, which says most of what they
            would, and 16 without one.
        head: The form of the density.

    Reference:
        Wielopolski, Zieba, "TreeFlow: Going beyond Tree-based Parametric Probabilistic Regression", 2023, section 3.

    Example:
        >>> TreeFlow(Trees("catboost", number=100, depth=2)).folds
        5
    """

    trees: Any = field(default_factory=lambda: Trees(number=100, depth=2, learning_rate=0.03))
    location: Any = field(default_factory=Trees)
    folds: int = 5
    width: int | None = None
    head: Head | str = "spline"

    def __post_init__(self) -> None:
        check_count(self.folds, "folds", 2)
        check_count(self.embedded, "width")
        make_head(self.head)
        if not isinstance(self.location, Trees | None):
            raise ArgumentError(
                f"location must be Trees or None, got {self.location!r}. Write Trees('lightgbm') for a library."
            )

    @property
    def density(self) -> Head:
        """The head, if it was named."""
        return make_head(self.head)

    @property
    def embedded(self) -> int:
        """The length of the embedding of the leaves."""
        return self.width if self.width is not None else _WIDTHS[self.location is None]


Method = ConditionalFlow | RegFlow | TreeFlow

_NAMES: dict[str, Any] = {
    "spline": ConditionalFlow,
    "continuous": lambda: ConditionalFlow(head="continuous"),
    "mixture": lambda: ConditionalFlow(head="mixture"),
    "gaussian": lambda: ConditionalFlow(head="gaussian"),
    "regflow": RegFlow,
    "treeflow": TreeFlow,
}


def make_method(method: Method | str) -> Method:
    """A method by name: ``"spline"``, ``"continuous"``, ``"mixture"``, ``"gaussian"``, ``"regflow"``, ``"treeflow"``.

    Raises:
        ArgumentError: If there is none of that name.

    Example:
        >>> make_method("treeflow").embedded
        2
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str) or method not in _NAMES:
        raise ArgumentError(
            f"method must be one of {', '.join(map(repr, _NAMES))}, a ConditionalFlow, a RegFlow or a TreeFlow, got "
            f"{method!r}. Choose one of these."
        )
    return _NAMES[method]()
