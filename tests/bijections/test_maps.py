"""Behavior of single maps that no law over the registry covers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from counterflow import bijections as b
from counterflow.bijections import AbstractBijection, verify
from counterflow.core.errors import ArgumentError, NotInvertibleError, ShapeError
from tests.laws.registry import draw


def test_actnorm_standardizes_the_first_data_and_never_again():
    layer, x = b.ActNorm(3).double(), 5 + 3 * draw(500, 3)
    layer.initialize(x)
    z = layer.to_latent(x)[0]
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3).double(), rtol=1e-12, atol=0)
    layer.initialize(x + 100)
    assert torch.equal(layer.to_latent(x)[0], z)


def test_actnorm_flag_is_part_of_the_state():
    """nflows#4: a loaded model initialized itself again."""
    layer, loaded = b.ActNorm(2), b.ActNorm(2)
    layer.initialize(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
    loaded.load_state_dict(layer.state_dict())
    loaded.initialize(torch.tensor([[9.0, 9.0], [7.0, 8.0]]))
    assert torch.equal(loaded.mean, layer.mean)


@pytest.mark.parametrize("layer", [b.ActNorm(2), b.LowerTriangular(2)], ids=["actnorm", "lower triangular"])
def test_a_constant_feature_does_not_stop_initialization(layer):
    x = torch.stack((torch.full((50,), 3.0), draw(50).float()), -1)
    layer.initialize(x)
    z, log_det = layer.to_latent(x)
    assert torch.isfinite(z).all()
    assert torch.isfinite(log_det).all()
    assert z[:, 0].abs().max() < 1e-5


def test_dependent_features_do_not_stop_whitening():
    x = draw(50, 1).expand(50, 3)
    layer = b.LowerTriangular(3).double()
    layer.initialize(x)
    assert torch.isfinite(layer.to_latent(x)[0]).all()


def test_whitening_finds_a_linear_mean_of_the_context():
    """Least squares: x = 2 c + 1 + noise, and the latent depends on the context no more."""
    context = draw(2000, 1)
    x = 2 * context + 1 + 0.5 * draw(2000, 2, seed=1)
    layer = b.Whitening(2, context_features=1).double()
    layer.initialize(x, context)
    torch.testing.assert_close(layer.slope.detach(), torch.full((2, 1), 2.0).double(), rtol=0.05, atol=0)
    torch.testing.assert_close(layer.mean.detach(), torch.ones(2).double(), rtol=0.05, atol=0)
    z = layer.to_latent(x, context)[0].detach()
    assert (z.T @ context / 2000).abs().max() < 1e-3
    torch.testing.assert_close(torch.cov(z.T), torch.eye(2).double(), rtol=0.02, atol=0.02)


def test_chain_initializes_each_layer_with_what_reaches_it():
    chain = b.Chain([b.Affine(2, shift=3.0, scale=2.0), b.ActNorm(2)]).double()
    x = draw(100, 2)
    chain.initialize(x)
    torch.testing.assert_close(chain.to_latent(x)[0].mean(0), torch.zeros(2).double(), rtol=0, atol=1e-10)


@given(features=st.integers(1, 8), seed=st.integers(0, 100))
def test_orthogonal_is_the_product_of_its_reflections(features, seed):
    layer = b.Orthogonal(features, generator=torch.Generator().manual_seed(seed)).double()
    expected = torch.eye(features, dtype=torch.float64)
    for v in layer.vectors.detach().T:
        expected = expected @ (torch.eye(features) - 2 * torch.outer(v, v) / v.dot(v))
    torch.testing.assert_close(layer.weight(), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(layer.weight() @ layer.inverse(), torch.eye(features).double(), rtol=0, atol=1e-9)


@given(features=st.integers(1, 8), seed=st.integers(0, 100))
def test_lu_inverse_and_determinant(features, seed):
    layer = b.LULinear(features).double()
    with torch.no_grad():
        layer.factors.copy_(0.3 * draw(features, features, seed=seed))
        layer.log_diagonal.copy_(draw(features, seed=seed))
    torch.testing.assert_close(layer.inverse(), torch.linalg.inv(layer.weight()), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(layer.log_abs_det(), torch.linalg.slogdet(layer.weight()).logabsdet, rtol=0, atol=1e-9)


@given(order=st.permutations(range(6)))
def test_permutation_puts_everything_back(order):
    layer, x = b.Permutation(list(order)), draw(4, 6)
    z, _ = layer.to_latent(x)
    assert torch.equal(z, x[:, list(order)])
    assert torch.equal(layer.to_data(z)[0], x)


def test_random_permutation_follows_its_generator():
    first, second = (b.Permutation.random(20, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.order, second.order)


@pytest.mark.parametrize("reverse", [False, True])
def test_autoregressive_jacobian_is_triangular(reverse):
    layer = b.Autoregressive(4, b.ScaleShift(), hidden=(16, 16), context_features=1, reverse=reverse)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * draw(*parameter.shape).float())
    jacobian = torch.func.jacrev(lambda x: layer.to_latent(x, torch.ones(1))[0])(torch.ones(4))
    jacobian = jacobian.flip(0, 1) if reverse else jacobian
    assert (jacobian.triu(1) == 0).all()
    assert (jacobian.tril() != 0).sum() == 10


def test_a_wild_autoregressive_map_does_not_overflow_on_its_way_back():
    layer = b.Autoregressive(40, b.ScaleShift(), hidden=(32,))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(draw(*parameter.shape).float())
    x = torch.zeros(2, 40)
    back, log_det = layer.to_data(layer.to_latent(x)[0])
    assert torch.isfinite(back).all()
    assert torch.isfinite(log_det).all()


@pytest.mark.parametrize("order", [[0, 0], [1, 2], [0, 2]])
def test_no_permutation(order):
    with pytest.raises(NotInvertibleError, match="must hold every number"):
        b.Permutation(order)


def test_matrix_that_is_not_square():
    with pytest.raises(ShapeError, match="features, features"):
        b.Linear(torch.zeros(2, 3))


def test_empty_chain():
    with pytest.raises(ArgumentError, match="at least one bijection"):
        b.Chain([])


def test_chain_of_parts_that_do_not_fit():
    with pytest.raises(ShapeError, match="one event shape"):
        b.Chain([b.ActNorm(2), b.ActNorm(3)])


def test_mixture_of_mismatched_shapes():
    with pytest.raises(ShapeError, match="one row per feature"):
        b.MixtureCDF(torch.zeros(2, 3), torch.ones(2, 2))


def test_contexts_that_do_not_broadcast():
    layer = b.Coupling(2, b.ScaleShift(), context_features=1)
    with pytest.raises(ShapeError, match="must broadcast"):
        layer.to_latent(torch.zeros(3, 2), torch.zeros(4, 1))


@pytest.mark.parametrize("domain", [(0.0, float("inf")), (float("-inf"), 0.0), (0.5, 2.0)])
def test_elementwise_accepts_a_domain_where_the_map_is_one_to_one(domain):
    inverse = torch.sqrt if domain[1] > 0 else (lambda z: -torch.sqrt(z))
    layer = b.Elementwise(torch.square, inverse, domain=domain)
    x = torch.tensor([-1.5 if domain[1] == 0 else 1.5], dtype=torch.float64)
    torch.testing.assert_close(layer.to_data(layer.to_latent(x)[0])[0], x)


class Claims(AbstractBijection):
    """A map whose parts can be wrong one at a time."""

    def __init__(self, *, back: float = 0.5, log_det: float = 0.6931471805599453, sign: float = -1.0) -> None:
        super().__init__((1,))
        self.back, self.log_det, self.sign = back, log_det, sign
        self.net = nn.Identity()

    def to_latent(self, x, context=None):
        return 2 * x, torch.full(x.shape[:-1], self.log_det, dtype=x.dtype)

    def to_data(self, z, context=None):
        return self.back * z, torch.full(z.shape[:-1], self.sign * self.log_det, dtype=z.dtype)


def test_verify_accepts_a_bijection_of_ones_own():
    verify(Claims(), draw(5, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"back": 0.6}, "must be x"), ({"sign": 1.0}, "add up to zero"), ({"log_det": 0.5}, "Jacobian of to_latent")],
)
def test_verify_refuses_a_wrong_claim(wrong, message):
    with pytest.raises(NotInvertibleError, match=message):
        verify(Claims(**wrong), draw(5, 1))
