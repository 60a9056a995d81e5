"""How many threads torch uses while many small steps are made."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Generator[None]:
    """Let torch work on one thread inside the block, and give back the number it had.

    Steps of a few hundred rows are too short to share: threads that wait for each other cost more than they bring, and
    on a busy machine many times more.

    Example:
        >>> before = torch.get_num_threads()
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
