"""Contractive residual blocks: the bound on slopes, both log-determinants, and inverses that settle or say why not."""

import pytest
import torch

from counterflow.bijections import Residual
from counterflow.core.contraction import solve_contraction
from counterflow.core.errors import ArgumentError, NotInvertibleError
from counterflow.nets import LipschitzMLP, spectral_bound
from tests.laws.registry import draw


def bent(module: torch.nn.Module, *, spread: float = 1.0, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator).double())
    return module


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 64), (200, 20)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_bound_is_just_above_the_spectral_norm(shape, scale):
    """Witness: torch's singular values."""
    weight = scale * draw(*shape)
    ratio = spectral_bound(weight) / torch.linalg.matrix_norm(weight, ord=2)
    assert 1 - 1e-12 <= ratio <= min(shape) ** (1 / 256) + 1e-12


def test_the_bound_is_tight_where_all_singular_values_are_equal():
    orthogonal = torch.linalg.qr(draw(64, 64)).Q
    torch.testing.assert_close(spectral_bound(orthogonal), torch.tensor(64 ** (1 / 256), dtype=torch.float64))


def test_the_bound_has_the_gradient_of_the_spectral_norm():
    weight = draw(4, 6).requires_grad_()
    torch.autograd.gradcheck(spectral_bound, weight)
    found, expected = (
        torch.autograd.grad(f(weight), weight)[0] for f in (spectral_bound, lambda w: torch.linalg.norm(w, 2))
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_matrix_of_zeros_has_a_bound_and_a_gradient():
    weight = torch.zeros(3, 3, requires_grad=True)
    assert spectral_bound(weight) < 1e-30
    assert torch.autograd.grad(spectral_bound(weight), weight)[0].isfinite().all()


@pytest.mark.parametrize("lipschitz", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_no_pair_of_points_is_drawn_apart(lipschitz, mode):
    """At once after wild weights were loaded, in both modes; near pairs meet the steepest slopes."""
    wild = bent(LipschitzMLP(4, lipschitz=lipschitz, hidden=(16, 16)), spread=10.0)
    net = LipschitzMLP(4, lipschitz=lipschitz, hidden=(16, 16)).double()
    net.load_state_dict(wild.state_dict())
    getattr(net, mode)()
    x = draw(2000, 4)
    y = x + 0.01 * draw(2000, 4, seed=1)
    ratio = (net(x) - net(y)).norm(dim=-1) / (x - y).norm(dim=-1)
    assert 0.01 * lipschitz < ratio.max() <= lipschitz
    norms = torch.linalg.matrix_norm(net.at().value_and_jacobian(x)[1], ord=2)
    assert norms.max() <= lipschitz


def test_the_jacobian_and_its_products_are_those_of_autograd():
    net, x, context = bent(LipschitzMLP(3, hidden=(5, 4), context_features=2)), draw(7, 3), draw(7, 2)
    at = net.at(context)
    value, jacobian = at.value_and_jacobian(x)
    expected = torch.func.vmap(torch.func.jacrev(lambda x, c: net(x, c)))(x, context)
    torch.testing.assert_close(value, net(x, context))
    torch.testing.assert_close(jacobian, expected)
    v, slopes = draw(7, 3, seed=3), at.value_and_slopes(x)[1]
    torch.testing.assert_close(at.push(v, slopes), (expected @ v.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(at.pull(v, slopes), (v.unsqueeze(-2) @ expected).squeeze(-2))


def test_the_estimate_is_unbiased_and_has_the_variance_it_claims():
    block, x = bent(Residual(5, lipschitz=0.9, hidden=(16,)), spread=0.5), draw(3, 5)
    jacobian = block.net.at().value_and_jacobian(x)[1]
    exact = block.to_latent(x)[1]
    generator = torch.Generator().manual_seed(0)
    copies = x.expand(20, 3, 5)
    drawn = [block.estimate_log_det(copies, probes=1, generator=generator).mean(0).detach() for _ in range(300)]
    drawn = torch.stack(drawn)
    error = (drawn.mean(0) - exact) / (drawn.std(0) / 300**0.5)
    assert error.abs().max() < 4
    assert drawn.std(0).min() > 0
    many = block.signs.new_empty(4000, 3, 5).bernoulli_(generator=generator).mul_(2).sub_(1)
    eigenvalues, vectors = torch.linalg.eig(jacobian + torch.eye(5))
    logarithm = (vectors @ torch.diag_embed(eigenvalues.log()) @ torch.linalg.inv(vectors)).real
    hutchinson = torch.einsum("nri,rij,nrj->nr", many, logarithm, many)
    symmetric = 0.5 * (logarithm + logarithm.mT)
    claimed = 2 * (symmetric.square().sum((-1, -2)) - symmetric.diagonal(dim1=-2, dim2=-1).square().sum(-1))
    torch.testing.assert_close(hutchinson.var(0), claimed, rtol=0.15, atol=0.0)
    sure = block.eval()
    sure.exact = False
    sure.signs = many[:, 0]
    torch.testing.assert_close(
        sure.to_latent(x[0])[1],
        torch.einsum("ni,ij,nj->n", many[:, 0], logarithm[0], many[:, 0]).mean(),
        rtol=1e-6,
        atol=1e-6,
    )


def test_an_estimated_density_is_the_same_number_every_time_in_evaluation_mode():
    block, x = bent(Residual(5, hidden=(8,), exact=False), spread=0.5), draw(4, 5)
    assert not torch.equal(block.to_latent(x)[1], block.to_latent(x)[1])
    block.eval()
    assert torch.equal(block.to_latent(x)[1], block.to_latent(x)[1])
    torch.testing.assert_close(block.to_data(block.to_latent(x)[0])[1], -block.to_latent(x)[1])


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("lipschitz", [0.5, 0.9])
def test_the_inverse_and_its_gradients(exact, lipschitz):
    block = bent(Residual(3, lipschitz=lipschitz, hidden=(16,), context_features=2, exact=exact), spread=0.5).eval()
    x, context = 2 * draw(20, 3), draw(20, 2)
    z = block.to_latent(x, context)[0].detach().requires_grad_()
    torch.testing.assert_close(block.to_data(z, context)[0], x, rtol=1e-11, atol=1e-11)
    weight = block.net.layers[0].weight.detach().clone().requires_grad_()

    def inverse(z, weight):
        block.forward = lambda z: block.to_data(z, context[:2])[0]
        return torch.func.functional_call(block, {"net.layers.0.weight": weight}, (z,))

    assert torch.autograd.gradcheck(inverse, (z[:2].detach().requires_grad_(), weight), atol=1e-6)


def test_up_to_64_features_the_determinant_is_exact():
    assert Residual(64, hidden=(4,)).exact
    assert not Residual(65, hidden=(4,)).exact


def test_many_features_train_and_come_back():
    block = bent(Residual(80, hidden=(32,), probes=4), spread=0.2)
    x = draw(6, 80)
    z, log_det = block.to_latent(x)
    gradients = torch.autograd.grad(z.square().sum() - log_det.sum(), list(block.parameters()))
    assert all(gradient.isfinite().all() and (gradient != 0).any() for gradient in gradients)
    torch.testing.assert_close(block.to_data(z)[0], x, rtol=1e-10, atol=1e-10)


def test_rows_settle_by_themselves():
    """A row that needs many steps does not move one that needs few."""
    start = torch.tensor([[0.0], [50.0]], dtype=torch.float64)
    solve = {"lipschitz": 0.5, "tolerance": 1e-3}
    together = solve_contraction(lambda x: 0.5 * x.sin() + 0.1, start, **solve)
    alone = torch.stack([solve_contraction(lambda x: 0.5 * x.sin() + 0.1, row, **solve) for row in start])
    assert torch.equal(together, alone)


def test_a_row_that_does_not_settle_is_an_error():
    block = bent(Residual(2, hidden=(4,)))
    with pytest.raises(NotInvertibleError, match=r"every row must settle in a fixed point, but one has come to \[nan"):
        block.to_data(torch.tensor([[0.0, 1.0], [torch.nan, 1.0]], dtype=torch.float64))
    with pytest.raises(NotInvertibleError, match="must settle"):
        solve_contraction(lambda x: 2 * x + 1, torch.ones(1), lipschitz=0.5, tolerance=1e-3)


@pytest.mark.parametrize("lipschitz", [0.0, 1.0, 1.5])
def test_a_factor_that_does_not_shrink_is_refused(lipschitz):
    with pytest.raises(ArgumentError, match="lipschitz must be between 0 and 1"):
        Residual(2, lipschitz=lipschitz)
