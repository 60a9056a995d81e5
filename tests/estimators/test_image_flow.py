"""The density of images: closed forms, loops, and what is saved comes back bit by bit."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_digits

from counterflow import ImageFlow, flows
from counterflow.bijections import Affine
from counterflow.core.errors import ArgumentError, DataError, PersistenceError, ShapeError
from counterflow.counterfactuals import latent_ascent
from counterflow.estimators.pixels import as_images, with_noise

SMALL = partial(flows.image_realnvp, levels=1, layers=2, hidden=(8,))


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(load_digits().images[:400, None] / 16)


@pytest.fixture(scope="module")
def learned(digits):
    return ImageFlow(SMALL, levels=17, max_epochs=14, batch_size=64, learning_rate=5e-3, random_state=0).fit(digits)


def test_it_learns(learned, digits):
    """Witness: the best law of independent pixels, each with its own histogram of 17 levels."""
    fresh = torch.from_numpy(load_digits().images[400:700, None] / 16)
    counts = np.stack([np.bincount(pixel, minlength=17) for pixel in (16 * digits).long().reshape(400, 64).T.numpy()])
    shares = (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True)
    levels = (16 * fresh).long().reshape(300, 64).numpy()
    independent = -np.log2(shares[np.arange(64), levels]).mean()
    assert learned.bits_per_dimension(fresh).mean() < independent
    assert learned.report_.epochs == 14


def test_scores_are_those_of_the_flow_image_by_image(learned, digits):
    scores = learned.score_samples(digits[:5])
    alone = [learned.flow_.log_prob(image[None].float()).item() for image in digits[:5]]
    np.testing.assert_allclose(scores, alone, rtol=1e-5)
    assert learned.score(digits[:5]) == pytest.approx(scores.mean())
    np.testing.assert_allclose(learned.bits_per_dimension(digits[:5]), -(scores / 64 - np.log(16)) / np.log(2))


def test_a_uniform_law_needs_all_bits():
    """Closed form: 4 gray levels, all alike, are 2 bits a pixel; their cells lie between -1/6 and 7/6."""
    learned = ImageFlow(levels=4)
    learned.shape_, learned.flow_ = (1, 2, 2), lambda x: torch.full((len(x),), -4 * np.log(4 / 3))
    np.testing.assert_allclose(learned.bits_per_dimension(torch.zeros(3, 1, 2, 2)), 2.0)


def test_a_saved_flow_comes_back_bit_by_bit(learned, digits, tmp_path):
    learned.save(tmp_path / "folder")
    again = ImageFlow.load(tmp_path / "folder")
    np.testing.assert_array_equal(again.score_samples(digits[:9]), learned.score_samples(digits[:9]))
    assert again.sample(4, random_state=1).equal(learned.sample(4, random_state=1))
    assert (again.shape_, again.levels, again.flow) == ((1, 8, 8), 17, "image_realnvp")
    assert again.report_ == learned.report_
    assert not list(tmp_path.rglob("*.p*kl"))


def test_samples_are_images(learned):
    one, other = learned.sample(50, random_state=0), learned.sample(50, temperature=0.3, random_state=0)
    assert one.shape == (50, 1, 8, 8)
    assert 0 <= one.min() < one.max() <= 1
    assert other.std(0).mean() < one.std(0).mean()
    assert other.equal(learned.sample(50, temperature=0.3, random_state=0))


def test_the_flow_is_a_generator_for_latent_ascent(learned, digits):
    answer = latent_ascent(
        learned.flow_,
        lambda x: 40 * (x[:, 0, :4].mean((1, 2)) - 0.5),
        digits[:3].float(),
        1,
        confidence=0.6,
        learning_rate=0.2,
        clip=(0.0, 1.0),
    )
    assert answer.found.all()
    torch.testing.assert_close(answer.reconstructions, digits[:3].float(), atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_flow_and_a_checkpoint_goes_on(digits, tmp_path):
    settings = {"levels": 17, "batch_size": 64, "random_state": 3}
    whole = ImageFlow(SMALL, max_epochs=3, **settings).fit(digits[:150])
    followed = ImageFlow(SMALL, max_epochs=3, checkpoint=tmp_path / "check", **settings)
    followed.fit(digits[:150])
    for name, tensor in clone(followed).fit(digits[:150]).flow_.state_dict().items():
        assert tensor.equal(whole.flow_.state_dict()[name])


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 4, 5), 51, dtype=np.uint8),
        np.full((2, 4, 5, 1), 0.2),
        torch.full((2, 1, 4, 5), 0.2, dtype=torch.float64),
    ],
)
def test_images_of_all_forms_become_one(images):
    pixels = as_images(images)
    assert pixels.shape == (2, 1, 4, 5)
    torch.testing.assert_close(pixels, torch.full((2, 1, 4, 5), 0.2))


def test_channels_are_moved_and_not_mixed():
    image = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    assert as_images(image)[1, 2, 3, 4].item() == pytest.approx(image[1, 3, 4, 2] / 255)


def test_noise_is_uniform_over_the_cell_of_a_level():
    spread, weight = with_noise(5)(torch.full((20_000,), 0.25), torch.Generator().manual_seed(0))
    assert weight == 0.0
    assert stats.kstest(spread.numpy(), stats.uniform(0.125, 0.25).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (np.zeros((2, 5)), ShapeError, r"with 1 or 3 channels, got \(2, 5\)"),
        (np.zeros((2, 2, 5, 5)), ShapeError, r"got \(2, 2, 5, 5\)"),
        (np.zeros((0, 5, 5)), ShapeError, r"got \(0, 1, 5, 5\)"),
        (np.zeros((2, 5, 5), dtype=np.int64), DataError, "must be bytes"),
        (np.full((2, 5, 5), 16.0), DataError, "must lie between 0 and 1, got numbers from 16 to 16"),
        (np.full((2, 5, 5), np.nan), DataError, "must lie between 0 and 1"),
    ],
)
def test_what_is_no_image_is_refused(images, error, words):
    with pytest.raises(error, match=words):
        ImageFlow().fit(images)


def test_wrong_settings_are_refused(learned, digits, tmp_path):
    with pytest.raises(ArgumentError, match=r"one of 'glow', 'image_realnvp', got 'glwo'.*Did you mean 'glow'"):
        ImageFlow("glwo").fit(digits)
    with pytest.raises(ArgumentError, match="levels must be a whole number of at least 2"):
        ImageFlow(levels=1).fit(digits)
    with pytest.raises(ArgumentError, match="temperature must be above zero"):
        learned.sample(2, temperature=0.0)
    with pytest.raises(ShapeError, match=r"images must have shape \(\*batch, 1, 8, 8\), got \(2, 1, 4, 4\)"):
        learned.score_samples(torch.zeros(2, 1, 4, 4))
    flows.realnvp(2).save(tmp_path / "flow")
    with pytest.raises(PersistenceError, match="image flow"):
        ImageFlow.load(tmp_path / "flow")


def test_a_flow_composed_by_hand_cannot_be_saved(digits, tmp_path):
    def build(event_shape, *, bounds, generator):
        return flows.compose(Affine(event_shape))

    learned = ImageFlow(build, max_epochs=1, random_state=0).fit(digits[:60])
    with pytest.raises(PersistenceError, match="composed by hand"):
        learned.save(tmp_path / "folder")
