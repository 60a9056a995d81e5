"""What a GPU can do at the most, and how much of it a flow asks for."""

import statistics
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases import OPERATIONS, Case, make_rows

__all__ = ["measure_ceilings", "worked"]

_SIDE = 8192
_GIGABYTES = 4
_REPEATS = 10


def measure_ceilings() -> dict[str, float]:
    """Measure a large matrix product in each precision and a large copy within the GPU's memory.

    Returns:
        Teraflops (10^12 additions and multiplications a second) of ``"float32"``, ``"tf32"`` and ``"bfloat16"``
        products, and ``"copy"``: gigabytes (10^9) read and written a second; medians.
    """
    x = torch.randn(_SIDE, _SIDE, device="cuda")
    low = x.bfloat16()
    flops = 2 * _SIDE**3 / 1e12
    before = torch.get_float32_matmul_precision()
    found = {}
    for name, precision in (("float32", "highest"), ("tf32", "high")):
        torch.set_float32_matmul_precision(precision)
        found[name] = flops / _seconds(lambda: x @ x)
    torch.set_float32_matmul_precision(before)
    found["bfloat16"] = flops / _seconds(lambda: low @ low)
    block = torch.empty(_GIGABYTES * 10**9 // 8, dtype=torch.float64, device="cuda").normal_()
    there = torch.empty_like(block)
    found["copy"] = 2 * _GIGABYTES / _seconds(lambda: there.copy_(block))
    return {name: round(value, 1) for name, value in found.items()}


def worked(case: Case) -> dict[str, float]:
    """Count the multiplications and additions of matrix products in our own flow, in 10^9, for each operation.

    Only what any implementation must compute counts: masked weights count as if they were full, as all peers multiply
    them; what is added for the transformers is elementwise and not counted.
    """
    from benchmarks.libraries import ours

    model = ours.LIBRARY.build(case.family, case.size, way="eager")
    x = model.take(make_rows(case.size))
    calls = (lambda: model.train_step(x), lambda: model.log_prob(x), lambda: model.sample(case.size.batch))
    return dict(zip(OPERATIONS, map(_gigaflops, calls), strict=True))


def _gigaflops(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return round(counter.get_total_flops() / 1e9, 4)


def _seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times[3:])
