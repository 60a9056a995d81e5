"""Changes in words."""

import math

import pytest

from counterflow.tables import Atom, Column, describe_change, format_number
from counterflow.tables.wording import past_participle

ACCOUNTS = Column("accounts", "integer", verb="close")
BOTH = Column("accounts", "integer", verb={"increase": "open", "decreased": "shut down"})
CODED = Column("months", "integer", atoms=[Atom(-9), Atom(math.nan), Atom(0, "inflation")])


@pytest.mark.parametrize(
    ("column", "before", "after", "phrase"),
    [
        (ACCOUNTS, 5, 3, "two accounts were closed"),
        (ACCOUNTS, 4, 3, "one account was closed"),
        (ACCOUNTS, 20, 7, "13 accounts were closed"),
        (ACCOUNTS, 3, 5, "accounts rose by 2"),
        (BOTH, 3, 5, "two accounts were opened"),
        (BOTH, 5, 4, "one account was shut down"),
        (Column("entries", "integer", verb="add"), 1, 2, "one entry was added"),
        (Column("credit_cards", "integer", verb="open"), 0, 12, "twelve credit cards were opened"),
        (Column("debt", unit="EUR", verb="pay off"), 200, 150, "50 EUR of debt was paid off"),
        (Column("income"), 800, 1000, "income rose by 200"),
        (Column("debt", unit="EUR"), 200, 150, "debt fell by 50 EUR"),
        (Column("rate", unit="%", decimals=1), 0.1, 0.4, "rate rose by 0.3%"),
        (Column("rate"), 0.1, 0.30000000000000004, "rate rose by 0.2"),
        (Column("capital-gain", "integer"), 0, 15024, "capital gain rose by 15,024"),
        (
            Column("housing", "categorical", categories=["own", "rent"]),
            "rent",
            "own",
            "housing changed from 'rent' to 'own'",
        ),
        (Column("car", "binary", categories=[0, 1]), 0, 1, "car changed from 0 to 1"),
        (Column("flag", "binary", categories=[False, True]), True, False, "flag changed from True to False"),
        (Column("home", "categorical", categories=["own", None]), None, "own", "home changed from missing to 'own'"),
        (CODED, -9, 12, "months changed from the code -9 to 12"),
        (CODED, 12, math.nan, "months changed from 12 to missing"),
        (CODED, 0, 12, "months rose by 12"),
        (CODED, 12, 12, "months stayed 12"),
        (CODED, math.nan, None, "months stayed missing"),
    ],
)
def test_phrases(column, before, after, phrase):
    assert describe_change(column, before, after) == phrase


@pytest.mark.parametrize(
    ("verb", "participle"),
    [("cancel", "canceled"), ("apply", "applied"), ("pay", "paid"), ("sell off", "sold off"), ("stop", "stopped"),
     ("delay", "delayed"), ("take out", "taken out"), ("remove", "removed"), ("open", "opened")],
)  # fmt: skip
def test_participles(verb, participle):
    assert past_participle(verb) == participle


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.0, None, "0"), (1e-9, None, "0.000000001"), (123456.789, 2, "123,456.79"), (-0.0001, 2, "0"),
     (9999.0, None, "9999"), (2.5, None, "2.5"), (1200.0, 2, "1200"), (1 / 3, None, "0.333333")],
)  # fmt: skip
def test_numbers(value, decimals, text):
    assert format_number(value, decimals) == text
