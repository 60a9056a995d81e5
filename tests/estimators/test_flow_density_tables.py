"""FlowDensity with frames of every kind, folders, and every error it promises."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from counterflow import CounterflowError, FlowDensity, Schema, datasets, flows
from counterflow.core.errors import ArgumentError, DataError, PersistenceError

SETTINGS = {"flow": "maf", "layers": 1, "hidden": (16,), "max_epochs": 4, "draws": 4, "random_state": 0}


def light(**settings) -> FlowDensity:
    return FlowDensity(**{**SETTINGS, **settings})


def loans(kind: str):
    """200 rows of the loan table as a frame of a kind."""
    frame = datasets.loan(200).features
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return {
        "pandas": lambda: frame,
        "categoricals": lambda: frame.astype({"housing": "category", "sex": "category"}),
        "polars": lambda: pl.from_arrow(table),
        "pyarrow": lambda: table,
        "numpy": lambda: frame[["age", "income"]].to_numpy(),
        "objects": lambda: frame.to_numpy(dtype=object),
        "float32": lambda: frame[["income"]].to_numpy(np.float32) / 3,
    }[kind]()


KINDS = ["pandas", "categoricals", "polars", "pyarrow", "numpy", "objects", "float32"]


def names_of(frame) -> list[str]:
    return list(frame.column_names if isinstance(frame, pa.Table) else frame.columns)


# ---------------------------------------------------------------------------------------------------------- frames
@pytest.mark.parametrize("kind", KINDS)
def test_drawn_rows_are_a_frame_as_fit_saw(kind):
    frame = loans(kind)
    density = light().fit(frame)
    drawn = density.sample(7, random_state=0)
    assert type(drawn) is type(frame)
    assert drawn.shape == (7, frame.shape[1])
    if isinstance(frame, np.ndarray):
        assert drawn.dtype == frame.dtype
    else:
        assert names_of(drawn) == names_of(frame)
    if isinstance(frame, pd.DataFrame):
        assert list(drawn.dtypes) == list(frame.dtypes)
    if isinstance(frame, pl.DataFrame):
        assert drawn.schema == frame.schema
    if isinstance(frame, pa.Table):
        assert drawn.schema.equals(frame.schema)
    assert np.isfinite(density.score_samples(drawn)).all()


def test_all_kinds_of_frames_have_the_same_densities():
    scores = [
        light().fit(loans(kind)).score_samples(loans(kind)) for kind in ("pandas", "polars", "pyarrow", "objects")
    ]
    for other in scores[1:]:
        np.testing.assert_array_equal(scores[0], other)


def test_drawn_values_are_legal():
    drawn = light().fit(loans("pandas")).sample(500, random_state=0)
    assert set(drawn["housing"]) <= set(loans("pandas")["housing"])
    assert drawn["accounts"].dtype == np.int64
    assert (drawn[["income", "debt", "accounts"]] >= 0).all(axis=None)


def test_nested_lists_are_an_array():
    rows = loans("float32").tolist()
    density = light().fit(rows)
    np.testing.assert_array_equal(density.score_samples(rows), density.score_samples(np.array(rows)))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_columns_without_names_are_found_by_position():
    frame = loans("pandas")[["age", "income"]]
    array = frame.to_numpy()
    of_frame, of_array = light().fit(frame), light().fit(array)
    np.testing.assert_array_equal(of_frame.score_samples(array), of_frame.score_samples(frame))
    np.testing.assert_array_equal(of_array.score_samples(frame), of_array.score_samples(array))


def test_a_schema_chooses_columns_by_name():
    data = datasets.loan(200)
    density = light(schema=data.schema).fit(data.frame)
    assert list(density.feature_names_in_) == list(data.schema.names)
    assert density.n_features_in_ == 6
    turned = data.frame[data.frame.columns[::-1]]
    np.testing.assert_array_equal(density.score_samples(turned), density.score_samples(data.frame))
    drawn = density.sample(50, random_state=0)
    assert set(drawn.columns) == set(data.schema.names)
    assert (drawn["income"] % 10 == 0).all()


def test_missing_values_have_a_policy():
    frame = loans("pandas")[["age", "income"]].astype(float)
    frame.loc[::4, "income"] = np.nan
    atom = light(schema=Schema.infer(frame, missing="atom")).fit(frame)
    assert np.isfinite(atom.score_samples(frame)).all()
    assert atom.sample(200, random_state=0)["income"].isna().any()
    drop = light(schema=Schema.infer(frame, missing="drop")).fit(frame)
    kept = frame.dropna()
    same = light(schema=Schema.infer(frame, missing="drop")).fit(kept)
    np.testing.assert_array_equal(drop.score_samples(kept), same.score_samples(kept))


# --------------------------------------------------------------------------------------------------------- folders
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_density_comes_back_bit_by_bit(kind, tmp_path):
    frame = loans(kind)
    density = light().fit(frame)
    density.save(tmp_path / "density")
    loaded = FlowDensity.load(tmp_path / "density")
    np.testing.assert_array_equal(loaded.score_samples(frame), density.score_samples(frame))
    ours, theirs = density.sample(5, random_state=1), loaded.sample(5, random_state=1)
    assert type(ours) is type(theirs)
    if isinstance(frame, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs)
    elif isinstance(frame, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours.to_pydict() == theirs.to_pydict() if kind == "pyarrow" else ours.equals(theirs)
    assert loaded.report_ == density.report_
    assert loaded.get_params() == density.get_params()
    assert loaded.n_features_in_ == density.n_features_in_


@pytest.mark.parametrize("flow", sorted(flows.TABLE_RECIPES))
def test_every_recipe_can_be_saved(flow, tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 2))
    density = light(flow=flow, layers=None, max_epochs=1).fit(x)
    density.save(tmp_path)
    np.testing.assert_array_equal(FlowDensity.load(tmp_path).score_samples(x), density.score_samples(x))


def test_a_loaded_density_checks_names():
    frame = loans("pandas")
    density = light().fit(frame)
    with pytest.raises(DataError, match="feature names should match"):
        density.score_samples(frame.rename(columns={"age": "years"}))


def test_the_folder_holds_plain_data_and_no_rows(tmp_path):
    frame = pd.DataFrame({"amount": [123.456789, *np.random.default_rng(0).normal(size=99)]})
    light(schema=Schema.infer(frame).with_column("amount", lower=None, upper=None)).fit(frame).save(tmp_path)
    files = sorted(path.suffix for path in tmp_path.iterdir())
    assert files == [".json", ".json", ".safetensors"]
    assert not any("123.456789" in path.read_text(errors="replace") for path in tmp_path.iterdir())
    config = next(tmp_path.glob("config-*.json"))
    assert json.loads(config.read_text())["params"]["flow"] == "maf"


def test_a_flow_that_a_function_built_is_saved_as_its_recipe(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2))
    density = light(flow=lambda features: flows.realnvp(features, layers=2), schema=Schema.infer(x)).fit(x)
    density.save(tmp_path)
    loaded = FlowDensity.load(tmp_path)
    assert loaded.flow == "realnvp"
    np.testing.assert_array_equal(loaded.score_samples(x), density.score_samples(x))


def test_a_flow_composed_by_hand_cannot_be_saved(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 1))

    def build(features):
        return flows.compose([*flows.maf(features, layers=1).bijection.parts])

    density = light(flow=build).fit(x)
    with pytest.raises(PersistenceError, match="only a density whose flow a recipe built"):
        density.save(tmp_path / "density")
    assert not (tmp_path / "density").exists()


def test_a_damaged_folder_says_so(tmp_path):
    light(flow="linear", layers=None).fit(np.random.default_rng(0).normal(size=(60, 2))).save(tmp_path)
    next(tmp_path.glob("tensors-*")).write_bytes(b"x")
    with pytest.raises(PersistenceError, match="changed or cut short"):
        FlowDensity.load(tmp_path)
    with pytest.raises(PersistenceError):
        FlowDensity.load(tmp_path / "nothing")


# ---------------------------------------------------------------------------------------------------------- errors
def good() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 2))


def with_value(value) -> np.ndarray:
    x = good()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (with_value(np.nan), "NaN"),
        (with_value(np.inf), "infinity"),
        (good()[:1], "minimum of 2"),
        (good()[:0], "0 sample"),
        (good()[:, :0], "0 feature"),
        (good()[:, 0], "1D array"),
        (good() * 1j, "Complex data not supported"),
        (csr_array(good()), "[Ss]parse"),
        (pd.DataFrame(good())[:1], "at least 2 rows, got n_samples=1"),
        (pd.DataFrame({"a": [1.0, None, 2.0]}), "'a' has 1 missing values"),
        (pl.DataFrame({"a": [1.0, float("inf"), 2.0]}), "infinite"),
        (pd.DataFrame({"a": [1.0, 1.0, 1.0], "b": [1.0, 2.0, 3.0]}), "'a' is constant"),
        (pd.DataFrame({"id": [f"p{k}" for k in range(200)], "b": np.arange(200)}), "identifier"),
        (np.array([["a", {"b": 1}], ["c", 2.0]], dtype=object), "mixes types|containers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_tables_are_refused(x, sentence):
    with pytest.raises(DataError, match=sentence):
        light().fit(x)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"flow": "spline_couplings"}, r"one of .*'iaf'.*got 'spline_couplings'. Did you mean 'spline_coupling'"),
        ({"flow": None}, "got None"),
        ({"flow": lambda features: None}, "must build an unconditional Flow over 2 features.*got NoneType"),
        ({"flow": lambda features: flows.maf(features + 1)}, "over 2 features"),
        ({"flow": lambda features: flows.maf(features, context_features=1)}, "unconditional"),
        ({"flow": "linear"}, "'linear' flow has no layers"),
        ({"layers": 0}, "layers must be a whole number of at least 1"),
        ({"hidden": 64}, r"hidden must be a tuple of widths such as \(64, 64\), got 64"),
        ({"draws": 0}, "draws must be a whole number"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"validation": 1.0}, "validation must be a share"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"schema": {"a": 1}}, "schema must be a Schema or None, got dict"),
        ({"random_state": "zero"}, "random_state must be None, an int or a random generator"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_settings_are_refused(settings, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        light(**settings).fit(good())


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.ones(3), "sample_weight.shape"),
        (-np.ones(60), "[Nn]egative"),
        (np.full(60, np.nan), "NaN"),
        (np.zeros(60), "zero for every row|at least one non-zero"),
        (np.eye(60)[0], "n_samples=1 of 60"),
    ],
)
def test_bad_weights_are_refused(weights, sentence):
    with pytest.raises(DataError, match=sentence):
        light().fit(good(), sample_weight=weights)


def test_scoring_another_table_is_refused():
    frame = loans("pandas")
    density = light().fit(frame)
    with pytest.raises(DataError, match="feature names should match"):
        density.score_samples(frame.drop(columns="age"))
    with pytest.raises(DataError, match="'houseboat'.*none of its categories"):
        density.score_samples(frame.assign(housing="houseboat"))
    with pytest.raises(DataError, match="is numeric, but row 0 holds 'many'"):
        density.score_samples(frame.assign(accounts="many"))
    with pytest.raises(DataError, match="missing values"):
        density.score_samples(frame.assign(age=np.nan))
    with pytest.raises(DataError, match="holds no rows|at least 1 rows"):
        density.score_samples(frame[:0])
    with pytest.raises(DataError, match="X has 1 features, but FlowDensity is expecting 2"):
        light().fit(good()).score_samples(good()[:, :1])


def test_a_schema_and_a_table_that_differ_are_refused():
    schema = datasets.loan(10).schema
    with pytest.raises(DataError, match="no column 'sex'"):
        light(schema=schema).fit(loans("pandas").drop(columns="sex"))
    with pytest.raises(DataError, match="X has 2 columns, but the schema has 6"):
        light(schema=schema).fit(good())


def test_a_table_of_constants_has_no_density():
    frame = pd.DataFrame({"a": [1.0] * 60})
    schema = Schema.infer(frame).with_column("a", actionable=False)
    with pytest.raises(DataError, match="every column is constant"):
        light(schema=schema).fit(frame)


def test_a_value_that_no_training_row_has_is_impossible():
    frame = pd.DataFrame({"a": [1.0] * 60, "b": np.random.default_rng(0).normal(size=60)})
    density = light(schema=Schema.infer(frame).with_column("a", actionable=False)).fit(frame)
    assert np.isfinite(density.score(frame))
    assert np.isneginf(density.score(frame.assign(a=2.0)))
    assert (density.sample(20, random_state=0)["a"] == 1.0).all()


@pytest.mark.parametrize("n_samples", [0, -1])
def test_a_count_of_draws_is_checked(n_samples):
    density = light(flow="linear", layers=None).fit(good())
    with pytest.raises(CounterflowError, match="n_samples must be a whole number"):
        density.sample(n_samples)
