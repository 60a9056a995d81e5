"""Find the values of a numeric column that are no ordinary numbers: special codes, and masses on one value."""

import numpy as np

__all__ = ["find_codes", "find_inflation"]

MOST_CODES = 5
FEWEST_ORDINARY = 5  # different ordinary values a column must have before a code is believed
INFLATION_SHARE = 0.3
INFLATION_CONTRAST = 5.0  # times as frequent as the next value
FEWEST_OTHERS = 20


def find_codes(numbers: np.ndarray) -> list[float]:
    """Find special codes such as -9, -8, -7, -1, 99 or 9999.

    Negative codes: at most five different negative whole numbers, each repeated, in a column whose other values are
    >= 0; if -1 is among them -2 is not (else the column simply goes below zero). Codes above: numbers made of nines
    (96-99, 996-999, ...), each repeated, that lie farther from the other values than these spread.

    Args:
        numbers: The values of a column, (rows,).

    Returns:
        The codes, in ascending order.

    Example:
        >>> find_codes(np.array([-9, -9, -8, -8, 0, 1, 2, 3, 4, 5, 12]))
        [-9.0, -8.0]
    """
    values, counts = np.unique(numbers.astype(np.float64), return_counts=True)
    below = _negative_codes(values, counts)
    above = _high_codes(values[values >= 0], counts[values >= 0]) if (values >= 0).any() else []
    return [*below, *above]


def _negative_codes(values: np.ndarray, counts: np.ndarray) -> list[float]:
    negative = values < 0
    codes = values[negative]
    if not 0 < codes.size <= MOST_CODES or (~negative).sum() < FEWEST_ORDINARY:
        return []
    plain = bool((codes % 1).any()) or {-1.0, -2.0} <= set(codes.tolist())
    return [] if plain or (counts[negative] < 2).any() else codes.tolist()


def _high_codes(values: np.ndarray, counts: np.ndarray) -> list[float]:
    """Codes such as 99 at the upper end, taken off from the top while they look like it."""
    last = len(values)
    while last > FEWEST_ORDINARY and len(values) - last < MOST_CODES and _is_nines(values[last - 1]):
        last -= 1
    codes, rest = values[last:], values[:last]
    far = codes.size > 0 and codes[0] - rest[-1] > rest[-1] - rest[0]
    return codes.tolist() if far and (counts[last:] > 1).all() else []


def _is_nines(value: float) -> bool:
    digits = f"{value:.0f}"
    return bool(value % 1 == 0) and len(digits) > 1 and set(digits[:-1]) == {"9"} and digits[-1] in "6789"


def find_inflation(numbers: np.ndarray, *, whole: bool) -> list[float]:
    """Find the value on which a mass of the density sits, typically zero.

    It has a share of at least 0.3, is five times as frequent as the next value, and at least 20 other values exist. In
    a column of whole numbers it is also the smallest or the largest (a frequent value in the middle, such as 40 hours a
    week, is no atom: the dequantized density has a bin for it).

    Args:
        numbers: The ordinary values of a column, (rows,).
        whole: Are all of them whole numbers?

    Returns:
        At most one value.

    Example:
        >>> find_inflation(np.array([0.0] * 90 + list(np.linspace(1, 2, 30))), whole=False)
        [0.0]
    """
    values, counts = np.unique(numbers, return_counts=True)
    if values.size <= FEWEST_OTHERS:
        return []
    top = int(counts.argmax())
    others = np.delete(counts, top)
    inside = 0 < top < values.size - 1
    heavy = counts[top] >= INFLATION_SHARE * counts.sum() and counts[top] >= INFLATION_CONTRAST * others.max()
    return [float(values[top])] if heavy and not (whole and inside) else []
