"""Randomness is an argument: generators from seeds, and seeds from seeds."""

import hashlib

import torch

__all__ = ["derive_seed", "make_generator"]


def make_generator(random_state: int | torch.Generator | None, device: str | torch.device = "cpu") -> torch.Generator:
    """Turn what a user calls a random state into a ``torch.Generator``.

    Args:
        random_state: A seed, a generator (returned as it is), or ``None`` for a seed from the operating system.
        device: Where the generator draws; ignored when ``random_state`` is a generator.

    Returns:
        A generator; the global random state of torch is left alone.

    Example:
        >>> a, b = make_generator(3), make_generator(3)
        >>> bool(torch.rand(1, generator=a) == torch.rand(1, generator=b))
        True
    """
    if isinstance(random_state, torch.Generator):
        return random_state
    generator = torch.Generator(device)
    if random_state is None:
        generator.seed()
    else:
        generator.manual_seed(int(random_state))
    return generator


def derive_seed(seed: int, *names: str) -> int:
    """Give each use of randomness a seed of its own, the same on every machine.

    Args:
        seed: The one seed the user chose.
        names: What the new seed is for, from the general to the particular.

    Returns:
        A seed in [0, 2**63): the first bytes of the SHA-256 of the seed and the names.

    Example:
        >>> derive_seed(0, "flow") == derive_seed(0, "flow"), derive_seed(0, "flow") == derive_seed(0, "witness")
        (True, False)
    """
    text = "\x1f".join((str(int(seed)), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
