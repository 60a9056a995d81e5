"""Pictures of images: what is drawn is what the record holds."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot

from counterflow import plot
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import AscentAnswer, latent_ascent
from counterflow.flows import image_realnvp
from counterflow.plotting import plot_ascent, plot_ascent_path, plot_images, plot_spectrum, plot_tangents
from counterflow.plotting.tiles import as_pictures


def made(channels: int = 1, *, exact: bool = True, regressor: bool = False) -> AscentAnswer:
    generator = torch.Generator().manual_seed(0)
    before, after = torch.rand(2, 4, channels, 3, 6, generator=generator)
    numbers = torch.full((4,), torch.nan) if regressor else torch.tensor([0.99, 0.995, 0.3, 1.0])
    return AscentAnswer(
        originals=before,
        images=after,
        reconstructions=before if exact else before + 0.1,
        latents=after,
        original_probability=numbers / 10,
        original_prediction=torch.tensor([4.0, 4, 4, 9]),
        probability=numbers,
        prediction=torch.tensor([9.0, 9, 4, 9]),
        steps=torch.tensor([7, 3, 20, 0]),
        status=(RowStatus.FOUND, RowStatus.FOUND, RowStatus.NOT_VALID, RowStatus.ALREADY_DESIRED),
        path=torch.stack([torch.lerp(before, after, step / 7) for step in range(8)], dim=1).unbind(),
    )


def said(ax):
    return [text.get_text() for text in ax.texts]


def drawn(ax):
    return [np.asarray(image.get_array()) for image in ax.images]


def names_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_images_before_and_after_and_their_change(ax, channels):
    answer = made(channels)
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    assert plot(answer, ax=ax) is ax
    shown = drawn(ax)
    for column in range(4):
        np.testing.assert_allclose(shown[column], as_pictures(answer.originals)[column], atol=1e-7)
        np.testing.assert_allclose(shown[4 + column], as_pictures(answer.images)[column], atol=1e-7)
        np.testing.assert_allclose(shown[8 + column], answer.heatmap[column] / answer.heatmap.max(), atol=1e-6)
    assert names_of(ax) == ["original", "counterfactual", f"change, up to {answer.heatmap.max():.2g}"]
    assert said(ax)[:4] == ["4 → 9\n0.10 → 0.99", "4 → 9\n0.10 → >0.99", "4 → 4\n0.03 → 0.30", "9 → 9\n0.10 → 1.00"]
    assert said(ax)[4:8] == ["7 steps", "3 steps", "not reached\nin 20 steps", "already\nas desired"]
    assert "for 3 of 4 images" in ax.get_title("left")
    ax.figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_a_reconstruction_is_shown_where_it_differs(ax):
    plot_ascent(made(exact=False), ax=ax, rows=[2, 0], most=1, names=["?"] * 4 + ["four"] + ["?"] * 4 + ["$nine"])
    assert names_of(ax)[:2] == ["original", "reconstruction"]
    assert len(ax.images) == 4
    assert said(ax)[0].startswith("four → four")
    assert "3 more are not drawn" in said(ax)[-1].replace("\n", " ")


def test_a_regressor_has_values(ax):
    plot_ascent(made(regressor=True), ax=ax)
    assert said(ax)[:4] == ["4 → 9", "4 → 9", "4 → 4", "9 → 9"]
    assert "probability" not in said(ax)[-1]


def test_vectors_have_a_shape(ax):
    answer = latent_ascent(image_realnvp((1, 2, 4)), lambda x: x.flatten(1).sum(1), torch.zeros(2, 1, 2, 4), 1)
    fields = {name: getattr(answer, name) for name in AscentAnswer.__dataclass_fields__}
    for name in ("originals", "images", "reconstructions"):
        fields[name] = fields[name].flatten(1)
    plot_ascent(AscentAnswer(**fields), shape=(2, 4), ax=ax)
    assert drawn(ax)[0].shape == (2, 4)
    with pytest.raises(ShapeError, match=r"For vectors say shape="):
        plot_ascent(AscentAnswer(**fields), ax=ax)
    with pytest.raises(ShapeError, match="shape must have 8 numbers as the images have, got"):
        plot_ascent(AscentAnswer(**fields), shape=(3, 3), ax=ax)


def test_a_strip_shows_the_way_from_its_start_to_its_end(ax):
    answer = made()
    assert plot(answer, 0, most=4, ax=ax) is ax
    assert said(ax)[:4] == ["step 0", "step 2", "step 5", "step 7"]
    np.testing.assert_allclose(drawn(ax)[1], answer.path[0][2, 0], atol=1e-6)
    np.testing.assert_allclose(drawn(ax)[4], 0.0)
    assert ax.get_title("left").startswith("The way of image 0: 4 → 9")


def test_a_strip_of_two_ends_knows_how_many_steps_lie_between(ax):
    answer = made()
    fields = {name: getattr(answer, name) for name in AscentAnswer.__dataclass_fields__}
    fields["path"] = tuple(way[[0, -1]] for way in answer.path)
    plot_ascent_path(AscentAnswer(**fields), ax=ax)
    assert said(ax)[:2] == ["step 0", "step 7"]


@pytest.mark.parametrize("rows", [[4], [-1]])
def test_an_image_that_is_not_there(ax, rows):
    with pytest.raises(ArgumentError, match=f"there is no image {rows[0]}: the answer holds 4"):
        plot_ascent(made(), rows=rows, ax=ax)
    with pytest.raises(ArgumentError, match="there is no image 9"):
        plot(made(), 9, ax=ax)


def test_a_sheet_of_any_images(ax):
    images = 16 * torch.rand(5, 3, 3, generator=torch.Generator().manual_seed(1))
    plot_images(images, columns=3, row_names=["a", "b"], captions=["x"], title="Samples", subtitle="five", ax=ax)
    low, high = min(0.0, images.min().item()), images.max().item()
    np.testing.assert_allclose(drawn(ax)[3], (images[3] - low) / (high - low), atol=1e-6)
    assert names_of(ax) == ["a", "b"]
    assert said(ax) == ["x", "five"]
    with pytest.raises(ArgumentError, match="row_names must hold 2 names"):
        plot_images(images, columns=3, row_names=["a"], ax=ax)
    with pytest.raises(ArgumentError, match="at least one image"):
        plot_images(images[:0], ax=ax)
    with pytest.raises(ShapeError, match="images must have shape"):
        plot_images(torch.zeros(2, 5, 4, 4), ax=ax)


def test_tangents_are_signed_around_the_middle_of_the_colors(ax):
    vectors = torch.tensor([[[[1.0, -0.5]]], [[[0.0, 0.25]]], [[[0.5, 0.0]]]])
    plot_tangents(vectors, point=torch.ones(1, 1, 2), columns=2, ax=ax)
    assert names_of(ax) == ["image", "1 – 2", "3 – 3"]
    np.testing.assert_allclose(drawn(ax)[1], [[1.0, 0.25]])
    np.testing.assert_allclose(drawn(ax)[2], [[0.5, 0.625]])


def test_a_spectrum_has_a_line_for_each_point_and_their_median(ax):
    values = torch.tensor([[4.0, 2.0, 1.0], [8.0, 1.0, 0.5], [2.0, 1.5, 0.1]])
    plot_spectrum(values, dimension=2, ax=ax)
    lines = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(lines[:3], values)
    np.testing.assert_allclose(lines[3], [4.0, 1.5, 0.5])
    assert "2" in said(ax)
    plot_spectrum(torch.tensor([2.0, 0.0]), ax=ax)
    ax.figure.canvas.draw()
    with pytest.raises(ArgumentError, match="at least one singular value"):
        plot_spectrum(torch.zeros(0, 3), ax=ax)
