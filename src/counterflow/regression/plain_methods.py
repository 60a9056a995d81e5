"""Methods as plain data for a saved folder."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from counterflow.nets import Embedding
from counterflow.regression.heads import head_from_plain, head_to_plain
from counterflow.regression.leaves import Trees
from counterflow.regression.methods import ConditionalFlow, Method, RegFlow, TreeFlow

__all__ = ["method_from_plain", "method_to_plain"]


def method_to_plain(method: Method) -> dict[str, Any]:
    """A method as plain data; an embedding of one's own becomes ``None``, and so do trees of one's own.

    Example:
        >>> method_from_plain(method_to_plain(RegFlow(rank=2))).rank
        2
    """
    match method:
        case TreeFlow():
            own = not isinstance(method.trees, Trees)
            return {
                "kind": "treeflow",
                "trees": None if own else asdict(method.trees),
                "location": None if method.location is None else asdict(method.location),
                "folds": method.folds,
                "width": method.width,
                "head": head_to_plain(method.density),
            }
        case RegFlow():
            settings = {"hidden": list(method.hidden), "rank": method.rank, "base": method.base}
            settings["tolerance"] = method.tolerance
            return {"kind": "regflow", "embedding": _embedding(method.embedding), **settings}
        case ConditionalFlow():
            head = head_to_plain(method.density)
            return {"kind": "flow", "embedding": _embedding(method.embedding), "head": head}


def method_from_plain(plain: Mapping[str, Any], embedding: Callable[[], nn.Module] | None = None) -> Method | None:
    """Read what :func:`method_to_plain` gave; ``None`` if an embedding of one's own is needed and not given."""
    settings = dict(plain)
    kind = settings.pop("kind")
    if "head" in settings:
        settings["head"] = head_from_plain(settings["head"])
    if kind == "treeflow":
        for name in ("trees", "location"):
            settings[name] = None if settings[name] is None else Trees(**settings[name])
        return TreeFlow(**settings)
    known = settings["embedding"]
    if known is None and embedding is None:
        return None
    settings["embedding"] = embedding if known is None else Embedding(**{**known, "hidden": tuple(known["hidden"])})
    if kind == "regflow":
        return RegFlow(**{**settings, "hidden": tuple(settings["hidden"])})
    return ConditionalFlow(**settings)


def _embedding(embedding: Any) -> dict[str, Any] | None:
    return embedding.config if isinstance(embedding, Embedding) else None
