"""The real tables: what is found in them, exact round trips, and the speed that searches count on."""

import time

import numpy as np
import pytest
import torch

from counterflow.tables import Atom, Constraints, FlowEncoding, Rules, Schema, TableCodec, read_table


@pytest.fixture(scope="module")
def tables(data_folder):
    def read(name):
        path = data_folder / "tabular_cf" / f"{name}.csv.gz"
        return read_table(path) if path.is_file() else pytest.skip(f"there is no {path}")

    return read


@pytest.mark.parametrize(
    ("name", "target", "settings"),
    [
        ("heloc", "RiskPerformance", {}),
        ("adult_raw", "class", {"protected": ["race", "sex"]}),
        ("give_me_some_credit_full", "SeriousDlqin2yrs", {"missing": "atom"}),
        ("bank_marketing", "y", {}),
        ("wine", "Target", {}),
    ],
)
def test_real_tables_come_back_exactly(name, target, settings, tables, tmp_path):
    frame = tables(name)
    frame = frame.sample(min(len(frame), 8000), random_state=0)
    schema = Schema.infer(frame, target, **settings)
    schema.to_yaml(tmp_path / "schema.yaml")
    assert Schema.from_yaml(tmp_path / "schema.yaml") == schema
    codec = TableCodec(schema)
    numbers = codec.to_numbers(frame)
    assert codec.to_frame(numbers, frame).equals(frame)
    encoding = FlowEncoding.fit(schema, numbers)
    rows = torch.tensor(numbers)
    u, log_weight = encoding.dequantize(rows, torch.Generator().manual_seed(0))
    assert torch.allclose(encoding.decode(u), rows, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert log_weight.isfinite().all()
    assert u.mean().abs() < 0.05
    rules = Rules.compile(schema, None, rows)
    proposed = rows + torch.randn(rows.shape, generator=torch.Generator().manual_seed(1)) * rows.nan_to_num().std(0)
    legal = rules.project(proposed)
    few = torch.arange(min(len(legal), 300))
    assert rules.take(few).violations(legal[few]) == [[]] * len(few)
    assert codec.to_numbers(codec.to_frame(legal.numpy(), frame)).tobytes() == legal.numpy().tobytes()


def test_the_codes_of_heloc_are_found_and_shared(tables):
    frame = tables("heloc")
    schema = Schema.infer(frame, "RiskPerformance")
    assert all(Atom(-9) in column.atoms for column in schema.columns)
    assert {atom.value for column in schema.columns for atom in column.atoms if atom.kind == "code"} == {-9, -8, -7}
    assert all(column.lower >= 0 for column in schema.columns)
    assert schema.classes == ("Bad", "Good")
    declared = Schema.infer(frame, "RiskPerformance", codes=[-7, -8, -9])
    numbers = TableCodec(schema).to_numbers(frame)
    encodings = [FlowEncoding.fit(kind, numbers) for kind in (schema, declared)]
    assert encodings[0].dimension == encodings[1].dimension == 35  # 23 values and 12 distinct patterns of codes
    rules = Rules.compile(schema, Constraints(), numbers)
    assert (~rules.can_change).sum().item() == (numbers == -9).all(1).sum() == 588


def test_the_zeros_of_adult_are_an_atom_that_may_change(tables):
    schema = Schema.infer(tables("adult_raw"), "class")
    assert schema["capital-gain"].atoms == (Atom(99999), Atom(0, "inflation"))
    assert schema["capital-loss"].atoms == (Atom(0, "inflation"),)
    assert schema["hours-per-week"].atoms == ()
    assert schema["sex"].categories == ("Female", "Male")


def test_missing_incomes_are_an_atom(tables):
    schema = Schema.infer(tables("give_me_some_credit_full"), "SeriousDlqin2yrs", missing="atom")
    assert schema["MonthlyIncome"].atoms[0].missing
    assert "Unnamed: 0" not in schema.names
    assert [atom.value for atom in schema["NumberOfTimes90DaysLate"].atoms] == [96, 98]


def test_a_hundred_thousand_rows_of_adult_take_well_under_a_second(tables):
    frame = tables("adult_raw")
    schema = Schema.infer(frame, "class")
    codec = TableCodec(schema)
    many = codec.to_frame(codec.to_numbers(frame)[np.arange(100_000) % len(frame)], frame.head(0))
    start = time.perf_counter()
    numbers = codec.to_numbers(many)
    read = time.perf_counter() - start
    codec.to_frame(numbers, many)
    written = time.perf_counter() - start - read
    assert read < 2.0  # about 0.3 s on one idle core
    assert written < 2.0
