"""The measures of the experiment on shapes, on shapes whose answers are known."""

import numpy as np
import pytest
import torch

from counterflow.datasets import solids
from counterflow.metrics import cloud_distances
from counterflow.pointclouds import PointFlow, PointFlowSettings
from experiments.pointflow import compared, distances, gaussian_latents, reconstruction
from experiments.pointflow_data import POINTS, SETS, ShapeSet, _from_voxels


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(**settings):
    chosen = {"latent_features": 3, "layers": 3, "hidden": (8,), "encoder": (8, 8), "head": (8,), "prior_layers": 1}
    return PointFlow(PointFlowSettings(**(chosen | settings)), generator=seeded())


def test_two_samplings_share_no_point():
    data = SETS["solids"](seeded())
    assert data.test.shape == data.again.shape == (100, POINTS, 3)
    assert bool((torch.cdist(data.test[0], data.again[0]) > 0).all())
    assert len(data.labels[0]) == len(data.train)


def test_voxels_become_clouds_of_their_class():
    """Witness: a body of one voxel for each class, in its own corner."""
    bodies = np.zeros((10, 30, 30, 30), dtype=np.uint8)
    for place in range(10):
        bodies[place, place, 0, 29] = 1
    packed = np.packbits(bodies.reshape(10, -1), axis=1)
    clouds = _from_voxels(packed, np.arange(10), (1, 1, 1), seeded())
    middles = (torch.tensor([[2.5, 0.5, 29.5], [7.5, 0.5, 29.5], [8.5, 0.5, 29.5]]) - 15) / 12
    assert torch.allclose(clouds.mean(1), middles, atol=0.01)


def test_more_shapes_of_the_same_law_cannot_be_told():
    test, more = (solids(40, 48, generator=seeded(seed)).clouds for seed in (0, 1))
    own = {"chamfer": cloud_distances(test), "earth_mover": distances(test[:30], kind="earth_mover")}
    same = compared([more, more], test, own, (-1.2, 1.2))
    for kind in own:
        assert same[kind]["1-NNA"] == pytest.approx(0.5, abs=0.2)
    assert len(same["chamfer"]["1-NNA of each set"]) == 2
    far = compared([more + 1], test, own, (-1.2, 1.2))
    assert far["chamfer"]["1-NNA"] > 0.95
    assert far["JSD"] > same["JSD"]


def test_the_normal_law_has_the_moments_of_the_latents():
    model, clouds = small(), solids(300, 64, generator=seeded()).clouds
    model.initialize(clouds)
    law = gaussian_latents(model, clouds, generator=seeded())
    z = law.sample(20_000, generator=seeded(1))
    mean, log_deviation = model.posterior(clouds)
    spread = mean.T.cov() + (2 * log_deviation).exp().mean(0).diag()
    assert torch.allclose(z.mean(0), mean.mean(0), atol=0.05)
    assert torch.allclose(z.T.cov(), spread, atol=0.08)


def test_the_floor_of_reconstruction_is_another_sampling():
    """A cloud and other points of it are nearer than two shapes; a model that learned nothing is far."""
    clouds = solids(6, 2 * POINTS, generator=seeded()).clouds
    data = ShapeSet(clouds, *clouds.split(POINTS, 1))
    model = small()
    model.initialize(clouds)
    found = reconstruction(model, data, generator=seeded())
    for name in ("chamfer", "earth_mover"):
        assert found["same shape"][name] < 0.5 * found["another shape"][name]
        assert found["same shape"][name] < 0.5 * found["reconstructed"][name]
