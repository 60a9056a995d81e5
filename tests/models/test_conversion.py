"""Exact conversion: scikit-learn's own answers are the witness, finite differences that of the gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import linear_model as lm
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC

from counterflow.models.conversion import Columns
from counterflow.models.conversion.composites import positions
from counterflow.tables import Atom
from tests.models.data import LEVELS, adapted, mixed, mixed_schema, numeric, schema_of, softmax

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")


def mlp(activation="relu", hidden=(6, 5)):
    return MLPClassifier(hidden, activation=activation, max_iter=15, random_state=0)


PROBABILISTIC = {
    "logistic": lm.LogisticRegression(),
    "logistic liblinear": lm.LogisticRegression(solver="liblinear"),
    "logistic without intercept": lm.LogisticRegression(fit_intercept=False),
    "logistic cv": lm.LogisticRegressionCV(Cs=2, cv=2, use_legacy_attributes=False, scoring="neg_log_loss"),
    "sgd log": lm.SGDClassifier(loss="log_loss", max_iter=5, random_state=0),
    "lda": LinearDiscriminantAnalysis(),
    "naive bayes": GaussianNB(),
    "mlp relu": mlp(),
    "mlp tanh": mlp("tanh"),
    "mlp logistic": mlp("logistic"),
    "mlp identity": mlp("identity", (4,)),
    "mlp deep": mlp(hidden=(4, 4, 4)),
    "search": GridSearchCV(lm.LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
}


CASES = [(name, data) for name in PROBABILISTIC for data in ("cancer", "iris")]
CASES.remove(("logistic liblinear", "iris"))  # scikit-learn refuses it for three classes


@pytest.mark.parametrize(("name", "data"), CASES)
def test_probabilistic_classifiers(name, data):
    x, y = numeric(data)
    model = make_pipeline(StandardScaler(), PROBABILISTIC[name]).fit(x, y)
    ours, numbers = adapted(model, x)
    assert ours.differentiable, ours.why_not
    assert ours.probabilistic
    logits = ours.logits(numbers)
    assert logits.shape == (len(x), len(set(y)))
    assert logits.dtype == torch.float64
    np.testing.assert_allclose(softmax(logits), model.predict_proba(x), atol=1e-10, rtol=0)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x))
    np.testing.assert_array_equal(ours.probabilities(x), model.predict_proba(x))
    assert ours.classes == tuple(model.classes_.tolist())


def test_one_against_rest_of_three_classes():
    x, y = numeric("iris")
    model = lm.SGDClassifier(loss="log_loss", random_state=0).fit(x / 10, y)
    ours, numbers = adapted(model, x / 10)
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x / 10), atol=1e-10)


@pytest.mark.parametrize("data", ["cancer", "iris"])
@pytest.mark.parametrize(
    "model", [lm.RidgeClassifier(), LinearSVC(), lm.SGDClassifier(random_state=0), lm.Perceptron()], ids=repr
)
def test_margins_decide_but_are_no_probabilities(model, data):
    x, y = numeric(data)
    model = make_pipeline(StandardScaler(), model).fit(x, y)
    ours, numbers = adapted(model, x)
    assert ours.differentiable
    assert not ours.probabilistic
    scores = ours.logits(numbers).numpy()
    np.testing.assert_array_equal(scores.argmax(axis=1), model.predict(x))
    decision = model.decision_function(x)
    np.testing.assert_allclose(scores[:, 1] if decision.ndim == 1 else scores, decision, atol=1e-9)
    np.testing.assert_array_equal(ours.probabilities(x), np.eye(len(ours.classes))[model.predict(x)])


REGRESSORS = [
    lm.LinearRegression(), lm.Ridge(), lm.RidgeCV(), lm.Lasso(), lm.LassoCV(cv=2), lm.ElasticNet(), lm.BayesianRidge(),
    lm.HuberRegressor(), lm.SGDRegressor(random_state=0), lm.Lars(), lm.PoissonRegressor(), lm.GammaRegressor(),
    MLPRegressor(hidden_layer_sizes=(5,), max_iter=20, random_state=0),
    MLPRegressor(hidden_layer_sizes=(5,), activation="tanh", max_iter=20, random_state=0),
]  # fmt: skip


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda model: type(model).__name__)
def test_regressors(model):
    x, y = numeric("diabetes")
    model = make_pipeline(StandardScaler(), model).fit(x, y)
    ours, numbers = adapted(model, x)
    assert ours.differentiable, ours.why_not
    assert ours.classes is None
    assert ours.regression
    np.testing.assert_allclose(ours.logits(numbers)[:, 0].numpy(), model.predict(x), rtol=1e-9)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x))


SCALERS = {
    "standard": StandardScaler(),
    "no mean": StandardScaler(with_mean=False),
    "no std": StandardScaler(with_std=False),
    "min max": MinMaxScaler((-1, 2)),
    "min max clip": MinMaxScaler(clip=True),
    "max abs": MaxAbsScaler(),
    "robust": RobustScaler(),
    "robust half": RobustScaler(with_centering=False),
    "robust other": RobustScaler(with_scaling=False, quantile_range=(10, 90)),
    "two scalers": make_pipeline(MinMaxScaler(), StandardScaler(), "passthrough", RobustScaler()),
    "imputer": SimpleImputer(strategy="median"),
    "identity": FunctionTransformer(),
    "log": make_pipeline(FunctionTransformer(np.log1p), StandardScaler()),
    "polynomial": make_pipeline(StandardScaler(), PolynomialFeatures(3)),
    "interactions": make_pipeline(StandardScaler(), PolynomialFeatures(2, interaction_only=True, include_bias=False)),
    "pca": make_pipeline(StandardScaler(), PCA(3)),
    "pca whitened": PCA(3, whiten=True),
    "svd": TruncatedSVD(2, random_state=0),
    "yeo johnson": PowerTransformer(),
    "box cox": PowerTransformer("box-cox", standardize=False),
    "normalizer": Normalizer("l1"),
    "select": SelectKBest(k=2),
    "variance": VarianceThreshold(),
    "union": FeatureUnion([("a", StandardScaler()), ("b", PCA(2)), ("c", "drop"), ("d", "passthrough")],
                          transformer_weights={"b": 3.0}),
    "union with stages": FeatureUnion([("a", PolynomialFeatures(2)), ("b", MinMaxScaler(clip=True))]),
    "shared prefix": make_pipeline(MinMaxScaler(clip=True), FeatureUnion([("a", PowerTransformer()), ("b", PCA(2))])),
    "two centers": FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler())]),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALERS)
def test_transformers(name):
    x, y = numeric("iris")
    model = make_pipeline(SCALERS[name], lm.LogisticRegression(max_iter=20)).fit(x, y)
    ours, numbers = adapted(model, x)
    assert ours.differentiable, ours.why_not
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x), atol=1e-10)
    beyond = x * 1.7 + 0.3  # outside of the box, where clipping counts
    expected = model.predict_proba(beyond)
    np.testing.assert_allclose(softmax(ours.logits(torch.tensor(beyond.to_numpy()))), expected, atol=1e-9)


def test_large_means_cost_no_digits():
    x, y = numeric("iris")
    x = x + 1e9  # like a time stamp
    model = make_pipeline(StandardScaler(), lm.LogisticRegression()).fit(x, y)
    ours, numbers = adapted(model, x)
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x), atol=1e-10)


def test_linear_steps_melt_into_one_stage():
    x, y = mixed()
    model = make_pipeline(encoders["one hot"], MaxAbsScaler(), PCA(3), lm.LogisticRegression()).fit(x, y)
    ours, _ = adapted(model, x, mixed_schema())
    assert [type(part).__name__ for part in ours.formula.module.modules()] == ["AffineStage"]


encoders = {
    "one hot": make_column_transformer(
        (StandardScaler(), ["alcohol", "magnesium", "tens"]), (OneHotEncoder(), ["ash", "sour"])
    ),
    "drop first": make_column_transformer((OneHotEncoder(drop="first"), ["sour", "ash"]), remainder=MinMaxScaler()),
    "drop binary": make_column_transformer((OneHotEncoder(drop="if_binary"), ["ash", "sour"]), remainder="drop"),
    "drop named": make_column_transformer((OneHotEncoder(drop=["middle"]), ["ash"]), remainder="drop"),
    "ignore": make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["ash"]), remainder="passthrough"),
    "infrequent": make_column_transformer(
        (OneHotEncoder(min_frequency=0.3, handle_unknown="infrequent_if_exist"), ["ash", "tens"])
    ),
    "max categories": make_column_transformer((OneHotEncoder(max_categories=2, sparse_output=False), ["ash"])),
    "ordinal": make_column_transformer(
        (OrdinalEncoder(categories=[["high", "low", "middle"]]), ["ash"]), remainder="passthrough"
    ),
    "ordinal unknown": make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["ash", "sour"])
    ),
    "target": make_column_transformer((TargetEncoder(target_type="multiclass", random_state=0), ["ash"])),
    "numbers as categories": make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["tens", "ash"])),
    "whole numbers alone": make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["tens"])),
    "positions": ColumnTransformer([("a", "passthrough", [0, -1]), ("b", OneHotEncoder(), slice(1, 3))]),
    "name slice": ColumnTransformer([("a", OneHotEncoder(), slice("ash", "sour"))], remainder="passthrough"),
    "flags": ColumnTransformer([("a", StandardScaler(), [True, False, True, True, False])]),
    "one position": ColumnTransformer([("a", OneHotEncoder(), [1]), ("nothing", StandardScaler(), [])]),
    "selector": make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")), remainder=OneHotEncoder()
    ),
    "callable": ColumnTransformer([("a", OneHotEncoder(), lambda frame: ["ash"])], remainder=StandardScaler()),
    "weights": ColumnTransformer(
        [("a", StandardScaler(), ["alcohol"]), ("b", OneHotEncoder(), ["ash"])], transformer_weights={"b": 0.5}
    ),
    "nested": make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler(), PolynomialFeatures(2)), ["alcohol", "tens"]),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["ash"]),
        (make_column_transformer((OneHotEncoder(), ["sour"]), remainder=RobustScaler()), ["magnesium", "sour"]),
    ),
    "twice": ColumnTransformer([("a", OneHotEncoder(), ["ash"]), ("b", OrdinalEncoder(), ["ash", "sour"])]),
    "scaled codes": make_pipeline(make_column_transformer((OrdinalEncoder(), ["ash", "sour"])), StandardScaler()),
    "polars out": make_column_transformer((OneHotEncoder(sparse_output=False), ["ash"])).set_output(transform="polars"),
}


ENCODED = [(name, kind) for name in encoders for kind in ("pandas", "polars")]
ENCODED.remove(("selector", "polars"))  # make_column_selector knows pandas only


@pytest.mark.parametrize(("name", "kind"), ENCODED)
def test_encoders_on_mixed_frames(name, kind):
    x, y = mixed(kind)
    model = make_pipeline(encoders[name], lm.LogisticRegression(max_iter=30)).fit(x, y)
    ours, numbers = adapted(model, x, mixed_schema())
    assert ours.differentiable, ours.why_not
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x), atol=1e-10)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x))
    assert ours.predict(x)[0] in ours.classes


@pytest.mark.parametrize("name", ["ignore", "infrequent", "ordinal unknown", "numbers as categories"])
def test_categories_that_the_encoder_never_saw(name):
    x, y = mixed()
    seen = (x["ash"] != "high").to_numpy() & (x["tens"] != 4).to_numpy()
    model = make_pipeline(encoders[name], lm.LogisticRegression(max_iter=30)).fit(x[seen], y[seen])
    ours, numbers = adapted(model, x, mixed_schema())
    assert ours.differentiable, ours.why_not
    np.testing.assert_allclose(softmax(ours.logits(numbers)), ours.probabilities(x), atol=1e-10)


def test_a_category_that_the_model_refuses_makes_it_a_black_box():
    x, y = mixed()
    seen = (x["ash"] != "high").to_numpy()
    model = make_pipeline(encoders["drop named"], lm.LogisticRegression()).fit(x[seen], y[seen])
    ours, _ = adapted(model, x[seen], mixed_schema())
    assert not ours.differentiable
    assert "OneHotEncoder refuses a category of the schema" in ours.why_not


def test_numbers_that_the_encoder_refuses_have_no_answer():
    x, y = mixed()
    steps = make_column_transformer((OneHotEncoder(), ["tens", "sour"]), (StandardScaler(), ["alcohol"]))
    model = make_pipeline(steps, lm.LogisticRegression()).fit(x, y)
    ours, numbers = adapted(model, x, mixed_schema())
    assert ours.differentiable, ours.why_not
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x), atol=1e-10)
    numbers = numbers[:3].clone()
    numbers[1, 4] = 17
    assert torch.isnan(ours.logits(numbers)).all(dim=1).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="Found unknown categories"):
        ours.predict(x.iloc[:3].assign(tens=17))


def test_missing_values_that_the_model_imputes():
    x, y = mixed()
    x = x.assign(alcohol=x["alcohol"].where(np.arange(len(x)) % 7 > 0), ash=x["ash"].where(np.arange(len(x)) % 5 > 0))
    schema = mixed_schema().with_column("alcohol", atoms=(Atom(np.nan),))
    schema = replace(schema.with_column("ash", categories=(*LEVELS, None)), missing="atom")
    model = make_pipeline(encoders["nested"], lm.LogisticRegression(max_iter=30)).fit(x, y)
    ours, numbers = adapted(model, x, schema)
    assert torch.isnan(numbers).any()
    assert ours.differentiable, ours.why_not
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x), atol=1e-10)


def test_columns_in_another_order_and_columns_the_model_does_not_read():
    x, y = numeric("cancer")
    order = [x.columns[k] for k in (3, 0, 4)]
    model = make_pipeline(StandardScaler(), lm.LogisticRegression()).fit(x[order], y)
    ours, numbers = adapted(model, x.assign(name="someone"), schema_of(x))
    np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x[order]), atol=1e-10)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x[order]))


def test_a_model_fitted_on_arrays():
    x, y = numeric("iris")
    model = make_pipeline(StandardScaler(), lm.LogisticRegression()).fit(x.to_numpy(), y)
    for frame in (x, x.to_numpy(), x.assign(extra=1)):
        schema = schema_of(x) if frame is not None and hasattr(frame, "columns") else None
        schema = schema or schema_of(x.set_axis([f"x{k}" for k in range(x.shape[1])], axis=1))
        ours, numbers = adapted(model, frame, schema)
        np.testing.assert_allclose(softmax(ours.logits(numbers)), model.predict_proba(x.to_numpy()), atol=1e-10)
        np.testing.assert_array_equal(ours.predict(frame), model.predict(x.to_numpy()))


@pytest.mark.parametrize("name", ["one hot", "nested", "numbers as categories", "weights"])
def test_gradients_against_finite_differences(name):
    x, y = mixed()
    model = make_pipeline(encoders[name], mlp("tanh")).fit(x, y)
    ours, numbers = adapted(model, x, mixed_schema())
    numbers = numbers[:5]
    leaf = numbers.clone().requires_grad_(True)
    jacobian = torch.func.jacrev(ours.logits)(leaf)
    (gradient,) = torch.autograd.grad(ours.logits(leaf)[:, 0].sum(), leaf)
    for column in (0, 3):
        step = torch.zeros_like(numbers)
        step[:, column] = 1e-5
        slope = (ours.logits(numbers + step) - ours.logits(numbers - step))[:, 0] / 2e-5
        torch.testing.assert_close(gradient[:, column], slope, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(jacobian[range(5), 0, range(5), column], gradient[:, column])
    assert (gradient[:, 1:3] == 0).all()  # categories select


@pytest.mark.parametrize("name", ["yeo johnson", "polynomial", "min max clip", "normalizer", "imputer"])
def test_gradients_are_finite_at_zero(name):
    x, y = numeric("iris")
    model = make_pipeline(SCALERS[name], lm.LogisticRegression(max_iter=20)).fit(x, y)
    ours, _ = adapted(model, x)
    leaf = torch.zeros(2, x.shape[1], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ours.logits(leaf).sum(), leaf)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (make_pipeline(FunctionTransformer(lambda x: x + 1), lm.LogisticRegression()), "FunctionTransformer"),
        (SVC(), "SVC has no exact conversion"),
        (lm.SGDClassifier(loss="modified_huber", random_state=0), "modified_huber"),
        (make_pipeline(SimpleImputer(add_indicator=True), lm.LogisticRegression()), "indicator"),
    ],
)
def test_what_is_not_convertible_says_why(model, words):
    x, y = numeric("iris")
    model.fit(x, y)
    ours, numbers = adapted(model, x)
    assert not ours.differentiable
    assert words in ours.why_not
    np.testing.assert_array_equal(ours.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="cannot be differentiated"):
        ours.logits(numbers)


def test_a_subclass_that_answers_otherwise_is_not_trusted():
    class Cautious(lm.LogisticRegression):
        def predict_proba(self, x):
            return super().predict_proba(x) * 0.5 + 0.25

    x, y = numeric("cancer")
    ours, _ = adapted(Cautious(max_iter=50).fit(x / 100, y), x / 100)
    assert not ours.differentiable
    assert "Cautious has no exact conversion" in ours.why_not


def test_a_formula_that_differs_is_dropped(monkeypatch):
    from counterflow.models.conversion import predictors

    x, y = numeric("cancer")
    model = lm.LogisticRegression().fit(x / 100, y)

    def doubled(step, columns):
        return predictors.margins(step, columns.scaled(None, np.full(6, 0.5), step="a mistake"))

    monkeypatch.setitem(predictors.PREDICTORS, "LogisticRegression", doubled)
    ours, _ = adapted(model, x / 100)
    assert not ours.differentiable
    assert "differs from the model by" in ours.why_not


@given(st.lists(st.integers(-4, 3), max_size=5))
def test_positions_are_numpys(chosen):
    names = list("abcd")
    expected = np.arange(4)[chosen] if chosen else np.zeros(0, int)
    np.testing.assert_array_equal(positions(chosen, names, 4), expected)
    np.testing.assert_array_equal(positions([names[k] for k in chosen], names, 4), expected)


@given(st.data())
def test_the_algebra_of_columns_against_plain_numpy(data):
    """Random chains of affine steps: the fused module equals one step after the other."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    labels = [None, (1.0, 5.0, -2.0), None, (0.0, 1.0)]
    numbers = np.c_[rng.normal(size=8), rng.integers(0, 3, 8), rng.normal(size=8), rng.integers(0, 2, 8)]
    plain = numbers.copy()
    plain[:, 1], plain[:, 3] = np.array(labels[1])[numbers[:, 1].astype(int)], numbers[:, 3]
    columns = Columns.start(labels)
    for step in data.draw(st.lists(st.sampled_from(["select", "scale", "linear"]), max_size=6)):
        if step == "select":
            chosen = rng.integers(0, columns.width, size=rng.integers(1, 6))
            columns, plain = columns.select(chosen), plain[:, chosen]
        elif step == "scale":
            center, scale = rng.normal(size=columns.width), rng.uniform(0.5, 2, columns.width)
            columns, plain = columns.scaled(center, scale, step="x"), (plain - center) / scale
        else:
            weight, bias = rng.normal(size=(columns.width, 3)), rng.normal(size=3)
            columns, plain = columns.linear(weight, bias, step="x"), plain @ weight + bias
    np.testing.assert_allclose(columns.module()(torch.tensor(numbers)).numpy(), plain, atol=1e-9)
