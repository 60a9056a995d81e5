"""Schemas, tables and constraints made up by hypothesis.

The strategies draw plain settings, and the tests build from them: the shape checks that run in tests draw random
numbers of their own, which hypothesis does not allow inside a strategy.
"""

import math

import numpy as np
from hypothesis import strategies as st

from counterflow.tables import Atom, Column, Schema

LABELS = ["own", "rent", "no", "1", " é", ""]
CODES = [-9.0, -8.0, 999.0]


@st.composite
def labeled_columns(draw, name):
    kind = draw(st.sampled_from(["binary", "categorical", "ordinal"]))
    count = 2 if kind == "binary" else draw(st.integers(2, 5))
    labels = draw(st.sampled_from([LABELS[:count], list(range(3, 3 + count))]))
    if kind == "categorical" and isinstance(labels[0], str) and draw(st.booleans()):
        labels = [*labels[:-1], None]
    protected = draw(st.sampled_from([False, False, False, True]))
    return {"name": name, "kind": kind, "categories": labels, "protected": protected}


@st.composite
def number_columns(draw, name):
    kind = draw(st.sampled_from(["continuous", "integer", "ordinal"]))
    values = draw(st.lists(st.sampled_from([*CODES, math.nan]), unique_by=repr))
    kinds = dict.fromkeys(values, "code") | ({0.0: "inflation"} if draw(st.booleans()) else {})
    usual = st.sampled_from([None, True, False])
    atoms = [{"value": v, "kind": k, "may_change": draw(usual), "allowed": draw(usual)} for v, k in kinds.items()]
    return dict(
        name=name,
        kind=kind,
        lower=draw(st.sampled_from([None, 0.0])),
        upper=draw(st.sampled_from([None, 20.0])),
        step=draw(st.sampled_from([None, 0.5, 2])) if kind != "continuous" else None,
        decimals=draw(st.sampled_from([None, 0, 2])) if kind == "continuous" else None,
        atoms=atoms,
        direction=draw(st.sampled_from(["any", "any", "increase", "decrease"])),
        actionable=draw(st.sampled_from([True, True, True, False])),
    )


def column_settings(name):
    return st.one_of(labeled_columns(name), number_columns(name), number_columns(name))


def schema_settings(max_columns=4):
    return st.integers(1, max_columns).flatmap(
        lambda count: st.tuples(*(column_settings(f"c{i}") for i in range(count)))
    )


def build_schema(settings):
    columns = [Column(**{**column, "atoms": [Atom(**a) for a in column.get("atoms", ())]}) for column in settings]
    return Schema(columns)


def legal_values(column, random, rows):
    """Values that a column can hold: on its grid, within its bounds, on its atoms."""
    if column.labeled:
        return random.integers(0, len(column.categories), rows).astype(float)
    lower, upper = (low if math.isfinite(low) else end for low, end in zip(column.bounds, (-30.0, 30.0), strict=True))
    values = random.uniform(lower, upper, rows)
    if column.grid is not None:
        values = np.clip(np.round(values / column.grid) * column.grid, lower, upper)
    if column.decimals is not None:
        values = np.round(values, column.decimals)
    for atom in column.atoms:
        values = np.where(random.random(rows) < 0.2, atom.value, values)
    return values


seeds = st.integers(0, 2**32 - 1)


def build_table(settings, seed, rows=12):
    """A schema and numbers that fit it, no column constant."""
    schema = build_schema(settings)
    random = np.random.default_rng(seed)
    numbers = np.stack([legal_values(column, random, rows) for column in schema.columns], axis=1)
    for place, column in enumerate(schema.columns):
        numbers[:2, place] = [0, 1] if column.labeled else [2.0, 4.0]
    return schema, numbers


@st.composite
def constraint_settings(draw, columns):
    """Constraints without contradiction."""
    settings = {"immutable": [], "increase_only": [], "decrease_only": [], "ranges": {}, "allowed": {}, "free": []}
    for column in columns:
        name, labels = column["name"], column.get("categories")
        numeric = column["kind"] in ("continuous", "integer", "ordinal")
        choice = draw(st.sampled_from(["none", "immutable", "direction", "narrow", "free"]))
        if choice == "immutable":
            settings["immutable"].append(name)
        elif choice == "direction" and (numeric or len(labels) == 2):
            way = column.get("direction", "any")
            way = draw(st.sampled_from(["increase", "decrease"])) if way == "any" else way
            settings[f"{way}_only"].append(name)
        elif choice == "narrow" and labels:
            settings["allowed"][name] = draw(st.lists(st.sampled_from(labels), min_size=1))
        elif choice == "narrow":
            settings["ranges"][name] = draw(st.sampled_from([(0, 10), (4, None), (None, 6.5), (-100, 15)]))
        elif choice == "free" and column.get("protected"):
            settings["free"].append(name)
    return settings | {"max_changes": draw(st.sampled_from([None, 1, 2]))}
