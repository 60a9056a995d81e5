"""A loan table that is made up from beginning to end, with a law that one can read."""

from typing import Any

import numpy as np

from counterflow.core.checks import check_count
from counterflow.datasets.dataset import Dataset, make_frame
from counterflow.tables import Atom, Column, Schema

__all__ = ["approval_chance", "loan"]

HOUSING = ("with parents", "rent", "mortgage", "own")

SCHEMA = Schema(
    (
        Column("age", "integer", unit="years", lower=18, upper=100, direction="increase"),
        Column("income", "integer", unit="EUR", lower=0, step=10),
        Column("debt", "integer", unit="EUR", lower=0, step=10, atoms=(Atom(0, kind="inflation"),)),
        Column("accounts", "integer", lower=0, upper=20, verb={"increase": "open", "decrease": "close"}),
        Column("housing", "categorical", categories=HOUSING),
        Column("sex", "binary", categories=("female", "male"), protected=True),
    ),
    target="loan",
    classes=("approved", "refused"),
)


def loan(rows: int = 2000, random_state: int = 0) -> Dataset:
    r"""Make up a table of applications for a loan.

    No row is a person's, and no number comes from any survey. The law: ages from 18 to 79; the monthly income grows to
    the age of 50 and spreads log-normally (and, so that audits find something, is 8 percent higher for men); a third
    owes nothing, others up to a few incomes; accounts add up with the years; who is older and earns more rents less.
    The bank's rule does not look at age, housing or sex:

    .. math:: P(\text{approved}) = \sigma\!\left(\frac{\text{income} - \tfrac12\, \text{debt} - 60\, \text{accounts}
        - 680}{60}\right)

    Args:
        rows: How many rows, at least 1.
        random_state: The seed.

    Returns:
        The table with the target ``loan``, ``"approved"`` or ``"refused"``.

    Example:
        >>> data = loan(1000, random_state=0)
        >>> data.schema.names
        ('age', 'income', 'debt', 'accounts', 'housing', 'sex')
        >>> bool(0.5 < (data.labels == "approved").mean() < 0.7)
        True
    """
    check_count(rows, "rows")
    rng = np.random.default_rng(random_state)
    age = 18 + np.floor(62 * rng.beta(1.4, 2.2, rows)).astype(int)
    sex = rng.integers(2, size=rows)
    income = _tens(_usual_income(age) * (1 + 0.08 * sex) * np.exp(rng.normal(0, 0.35, rows)))
    debt = _tens(np.where(rng.random(rows) < 0.35, 0.0, income * rng.gamma(1.2, 0.5, rows)))
    accounts = np.minimum(1 + rng.poisson(1 + (age - 18) / 30 + debt / 2000, rows), 20)
    approved = rng.random(rows) < approval_chance(income, debt, accounts=accounts)
    columns = {
        "age": age,
        "income": income,
        "debt": debt,
        "accounts": accounts,
        "housing": np.array(HOUSING)[_housing(age, income, rng)],
        "sex": np.where(sex == 1, "male", "female"),
        "loan": np.where(approved, "approved", "refused"),
    }
    return Dataset(make_frame(columns), "loan", SCHEMA)


def approval_chance(income: Any, debt: Any, *, accounts: Any) -> Any:
    """The chance that the made-up bank approves.

    Args:
        income: EUR a month, as numbers, arrays or columns of pandas.
        debt: EUR owed.
        accounts: How many accounts are open.

    Returns:
        Numbers in (0, 1), of the same kind.

    Example:
        >>> chance = approval_chance(np.array([800, 1000]), np.array([200, 200]), accounts=np.array([5, 3]))
        >>> (chance > 0.5).tolist()
        [False, True]
    """
    return 1 / (1 + np.exp(-np.clip((income - 0.5 * debt - 60 * accounts - 680) / 60, -50, 50)))


def _usual_income(age: np.ndarray) -> np.ndarray:
    return 550 + 900 * (1 - ((np.minimum(age, 50) - 50) / 32) ** 2)


def _tens(amount: np.ndarray) -> np.ndarray:
    return 10 * np.rint(amount / 10).astype(int)


def _housing(age: np.ndarray, income: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where they live: the largest of four noisy leanings."""
    years, wealth = (age - 40) / 15, (income - 1200) / 400
    leanings = np.stack(
        [-2.2 * years - 1.2, 0.6 - 0.4 * wealth, 0.8 * wealth - 0.3 * years**2, years + 0.4 * wealth - 0.3]
    )
    return (leanings + rng.gumbel(size=leanings.shape)).argmax(0)
