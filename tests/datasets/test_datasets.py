"""The bundled tables, the made-up loans and the toy densities."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression

from counterflow import datasets
from counterflow.core.errors import ArgumentError
from counterflow.datasets.credit import approval_chance
from counterflow.tables import TableCodec

SOURCES = {
    "breast_cancer": load_breast_cancer,
    "diabetes": lambda: load_diabetes(scaled=False),
    "digits": load_digits,
    "iris": load_iris,
    "wine": load_wine,
}


# --------------------------------------------------------------------------------------------------------- bundled
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_table_holds_the_numbers_of_its_source(name):
    """Witness: scikit-learn's own arrays."""
    data, source = datasets.load(name), SOURCES[name]()
    np.testing.assert_array_equal(data.features.to_numpy(float), source.data)
    labels = source.target if name in ("diabetes", "digits") else source.target_names[source.target]
    np.testing.assert_array_equal(data.labels, labels)
    assert len(data) == len(source.data)


@pytest.mark.parametrize("name", datasets.NAMES)
def test_the_schema_fits_its_table(name):
    data = datasets.load(name)
    assert data.schema.target == data.target == data.frame.columns[-1]
    assert data.schema.names == tuple(data.features.columns)
    codec = TableCodec(data.schema)
    pd.testing.assert_frame_equal(codec.to_frame(codec.to_numbers(data.frame), like=data.frame), data.frame)
    assert set(data.schema.classes) == (set() if name == "diabetes" else set(data.labels))


@pytest.mark.parametrize("name", datasets.NAMES)
def test_columns_have_readable_names(name):
    assert all(column.replace("_", "").isalnum() and column.islower() for column in datasets.load(name).frame.columns)


def test_what_a_person_needs_to_know_of_the_columns():
    cancer, diabetes, loan = (datasets.load(name) for name in ("breast_cancer", "diabetes", "loan"))
    assert (cancer.target, cancer.schema.classes) == ("diagnosis", ("benign", "malignant"))
    assert (cancer.labels == "malignant").sum() == 212
    assert (diabetes.schema["age"].unit, diabetes.schema["sex"].protected) == ("years", True)
    assert (loan.schema["income"].unit, loan.schema["sex"].protected) == ("EUR", True)
    assert loan.schema["accounts"].verb["decrease"] == "close"
    assert datasets.load("iris").schema["petal_length"].unit == "cm"


def test_pixels_that_never_change_are_carried_along():
    digits = datasets.load("digits")
    constant = {name for name in digits.schema.names if digits.frame[name].nunique() == 1}
    assert constant == {column.name for column in digits.schema.columns if not column.actionable} != set()


def test_an_unknown_name_is_refused():
    with pytest.raises(ArgumentError, match="got 'breastcancer'. Did you mean 'breast_cancer'"):
        datasets.load("breastcancer")


def test_without_pandas_tables_are_of_pyarrow(monkeypatch):
    monkeypatch.setattr("counterflow.datasets.dataset.find_spec", lambda _: None)
    data = datasets.load("iris")
    assert isinstance(data.frame, pa.Table)
    assert data.features.column_names == list(data.schema.names)
    assert data.labels[0] == "setosa"


# ----------------------------------------------------------------------------------------------------------- loans
def test_loans_are_the_same_for_one_seed():
    pd.testing.assert_frame_equal(datasets.loan(50, 1).frame, datasets.loan(50, 1).frame)
    assert not datasets.loan(50, 1).frame.equals(datasets.loan(50, 2).frame)


def test_approvals_follow_the_rule():
    """Witness: the sum of independent coins has the variance of its chances; and a fit finds the coefficients."""
    frame = datasets.loan(20000, 0).frame
    chance = approval_chance(frame["income"], frame["debt"], accounts=frame["accounts"])
    approved = frame["loan"] == "approved"
    deviation = np.sqrt((chance * (1 - chance)).sum())
    assert abs(approved.sum() - chance.sum()) < 4 * deviation
    x = frame[["income", "debt", "accounts"]] / [100, 100, 1]
    found = LogisticRegression(C=1e6, max_iter=1000).fit(x, approved).coef_[0]
    np.testing.assert_allclose(found, [100 / 60, -50 / 60, -1.0], rtol=0.1)


def test_the_rule_decides_the_lecture_example():
    chance = approval_chance(np.array([800.0, 1000.0]), np.array([200.0, 200.0]), accounts=np.array([5.0, 3.0]))
    assert chance[0] < 0.05
    assert chance[1] > 0.5


def test_loans_are_plausible():
    frame = datasets.loan(5000, 0).frame
    assert frame["age"].between(18, 79).all()
    assert ((frame["income"] % 10 == 0) & (frame["debt"] % 10 == 0)).all()
    assert frame["accounts"].between(1, 20).all()
    assert 0.3 < (frame["debt"] == 0).mean() < 0.4
    young, old = frame["age"] < 30, frame["age"] > 60
    at_home = frame["housing"] == "with parents"
    assert at_home[young].mean() > 5 * at_home[old].mean()
    middle = frame["age"].between(40, 60)
    assert frame["income"][middle].mean() > 1.2 * frame["income"][young].mean()
    by_sex = frame.groupby("sex")["income"].mean()
    assert by_sex["male"] / by_sex["female"] == pytest.approx(1.08, abs=0.03)


def test_a_count_of_loans_is_checked():
    with pytest.raises(ArgumentError, match="rows must be a whole number of at least 1"):
        datasets.loan(0)


# ------------------------------------------------------------------------------------------------------------ toys
def draw(name: str, rows: int = 4000, **settings) -> torch.Tensor:
    return datasets.TOYS[name](rows, generator=torch.Generator().manual_seed(0), **settings)


@pytest.mark.parametrize("name", sorted(datasets.TOYS))
def test_a_toy_is_a_pure_function(name):
    before = torch.get_rng_state()
    x = draw(name)
    assert (x.shape, x.dtype) == ((4000, 2), torch.float32)
    assert torch.equal(x, draw(name))
    assert torch.equal(before, torch.get_rng_state())
    assert 0.5 < x.std() < 2.0
    assert x.mean(0).abs().max() < 0.15


@pytest.mark.parametrize("name", sorted(datasets.TOYS))
def test_a_toy_needs_rows(name):
    with pytest.raises(ArgumentError, match="rows must be a whole number of at least 1"):
        draw(name, 0)


def test_eight_gaussians_are_eight_gaussians():
    """Witness: chi-square distances from the nearest center, and even counts."""
    x = draw("eight_gaussians", spread=0.15).double().numpy()
    angles = np.arange(8) * np.pi / 4
    squares = ((x[:, None] - 2 * np.stack([np.cos(angles), np.sin(angles)], 1)) ** 2).sum(-1)
    assert stats.kstest(squares.min(1) / 0.15**2, "chi2", (2,)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(squares.argmin(1))).pvalue > 1e-3


def test_the_checkerboard_is_even_on_dark_squares():
    x = draw("checkerboard").numpy()
    squares = np.floor(x).astype(int) + 2
    assert (squares.sum(1) % 2 == 0).all()
    counts = np.bincount(4 * squares[:, 0] + squares[:, 1], minlength=16)
    assert (counts > 0).sum() == 8
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    assert stats.kstest((x % 1).ravel(), "uniform").pvalue > 1e-3


def test_rings_have_their_radii_in_every_direction():
    x = draw("rings", count=2, noise=0.05).double()
    radius = x.norm(dim=1).numpy()
    nearest = np.where(radius < 1.5, 1.0, 2.0)
    assert stats.kstest((radius - nearest) / 0.05, "norm").pvalue > 1e-3
    assert stats.kstest(torch.atan2(x[:, 1], x[:, 0]).numpy(), "uniform", (-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_two_moons_are_half_circles():
    x = draw("two_moons", noise=0.0)
    centers = torch.tensor([[-0.5, -0.25], [0.5, 0.25]])
    distances = torch.cdist(x, centers)
    on_circle = (distances - 1).abs() < 1e-5
    assert bool(on_circle.any(1).all())
    assert on_circle.float().mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)


def test_a_pinwheel_is_straight_when_untwisted():
    x = draw("pinwheel", arms=4, twist=0.0)
    assert x.abs().amin(1).std() < 0.12
    assert x.abs().amax(1).mean() == pytest.approx(1.2, abs=0.03)


def test_a_spiral_is_a_curve():
    x = draw("spiral", noise=0.0).double()
    radius = x.norm(dim=1)
    angle = torch.atan2(x[:, 1], x[:, 0]) - 2 * np.pi * 1.5 * radius / 2
    assert bool((angle / np.pi - (angle / np.pi).round()).abs().max() < 1e-4)
    assert stats.kstest((radius.numpy() / 2) ** 2, "uniform").pvalue > 1e-3
