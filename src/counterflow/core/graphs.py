"""Work on a GPU, recorded once as a CUDA graph and launched as a whole: small kernels wait for Python no longer."""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map_only

__all__ = ["Recorded", "Recording", "form_of"]

_WARM_UPS = 2
"""Calls before the recording: the first compiles and loads kernels, which must not happen within one."""

_MOST_FORMS = 16
"""So many recordings a function keeps; the one that was not used for longest makes room."""


class Recording:
    """One call of a function, recorded as a CUDA graph; calling it copies new inputs in and launches the graph.

    Args:
        function: What to record: it works on the GPU alone, and never waits for it. Tensors that it reads or changes
            beside its inputs are those of the recording ever after.
        inputs: Tensors on the GPU, or anything that holds such; all else in it is fixed.
        warm_up: Called beforehand in the function's place, for one whose effects must happen once only.

    Raises:
        RuntimeError: The function does what a recording cannot hold.
    """

    def __init__(
        self, function: Callable[..., Any], inputs: tuple[Any, ...], *, warm_up: Callable[..., Any] | None = None
    ) -> None:
        self._inputs = tree_map_only(Tensor, torch.clone, inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                (warm_up or function)(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The CUDA Graph is empty")  # beside the error that says what went wrong
            with torch.cuda.graph(self._graph):
                self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Any) -> Any:
        """Do again what was recorded, with new inputs of the same form; what comes back is the caller's own."""
        for mine, given in zip(tree_flatten(self._inputs)[0], tree_flatten(inputs)[0], strict=True):
            if isinstance(mine, Tensor):
                mine.copy_(given)
        self._graph.replay()
        return tree_map_only(Tensor, torch.clone, self._outputs)


class Recorded:
    """A function without gradients or side effects that is recorded on a GPU, once for each form of its inputs.

    Inputs on the CPU are computed as they are, and so is what cannot be recorded.

    Args:
        function: The function; its results depend on its inputs and on what never changes.

    Example:
        >>> double = Recorded(lambda x: 2 * x)
        >>> double(torch.tensor([1.0, 2.0])).tolist()
        [2.0, 4.0]
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._recordings: OrderedDict[Any, Recording] = OrderedDict()
        self._can = True

    def __call__(self, *inputs: Any) -> Any:
        """Compute the function."""
        if not self._can or not _all_on_gpu(inputs):
            return self._function(*inputs)
        form = form_of(inputs)
        if form not in self._recordings:
            self._record(form, inputs)
        if form not in self._recordings:
            return self._function(*inputs)
        self._recordings.move_to_end(form)
        return self._recordings[form](*inputs)

    def _record(self, form: Any, inputs: tuple[Any, ...]) -> None:
        try:
            self._recordings[form] = Recording(self._function, inputs)
        except RuntimeError:  # it waits for the GPU, say; an error of its own comes again when it is called as it is
            self._can = False
            return
        if len(self._recordings) > _MOST_FORMS:
            self._recordings.popitem(last=False)


def form_of(value: Any) -> Any:
    """What two values share that one recording or compiled graph serves both: structure, shapes, dtypes and devices.

    Example:
        >>> known = form_of((torch.zeros(2), None))
        >>> known == form_of((torch.ones(2), None)), known == form_of((torch.ones(3), None))
        (True, False)
    """
    leaves, structure = tree_flatten(value)
    kinds = tuple((leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves)
    return structure, kinds


def _all_on_gpu(inputs: tuple[Any, ...]) -> bool:
    """Whether there are tensors, and all of them on a GPU."""
    devices = {leaf.device.type for leaf in tree_flatten(inputs)[0] if isinstance(leaf, Tensor)}
    return devices == {"cuda"}
