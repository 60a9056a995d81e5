"""Without a GPU a recorded function is the function itself; what a recording does there is tested in tests/gpu."""

import torch

from counterflow.core.graphs import Recorded


def test_on_the_cpu_the_function_is_called_each_time():
    calls = []
    add = Recorded(lambda x, y: calls.append(1) or (x if y is None else x + y))
    x = torch.ones(2)
    assert add(x, None) is x
    assert add(x, x).tolist() == [2.0, 2.0]
    assert len(calls) == 2
    assert not add._recordings
