"""Pictures of clouds: the points that are drawn are found again in the axes."""

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.plotting import plot_clouds, plot_interpolation


def drawn(ax):
    return [part.get_offsets().data for part in ax.collections]


def seeded():
    return torch.Generator().manual_seed(0)


def test_flat_clouds_keep_their_form_at_one_scale(ax):
    clouds = torch.rand(5, 30, 2, generator=seeded(), dtype=torch.float64) * torch.tensor([2.0, 1.0])
    plot_clouds(clouds, columns=3, row_names=["a", "b"], captions=["x", "y", "z"], title="T", subtitle="s", ax=ax)
    points = drawn(ax)
    assert len(points) == 5
    scale = np.ptp(points[0][:, 0]) / np.ptp(clouds[0, :, 0].numpy())
    for place, (found, cloud) in enumerate(zip(points, clouds.numpy(), strict=True)):
        row, column = divmod(place, 3)
        assert ((found >= [column, row]) & (found <= [column + 1, row + 1])).all()
        np.testing.assert_allclose(np.ptp(found, axis=0), scale * np.ptp(cloud, axis=0))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert {"x", "y", "z"} <= {text.get_text() for text in ax.texts}


def test_space_is_seen_from_the_front_and_from_above(ax):
    """Witness: looking along an axis leaves the two others."""
    cloud = torch.rand(1, 30, 3, generator=seeded(), dtype=torch.float64)
    plot_clouds(cloud, view=(-90.0, 0.0), ax=ax)  # from the negative y axis: x to the right, z upward
    plot_clouds(cloud, view=(-90.0, 90.0), ax=ax)  # from above
    x, y, z = (axis[:, None] for axis in cloud[0].numpy().T)
    for found, up in zip(drawn(ax), (z, y), strict=True):
        order = np.argsort(found[:, 0])
        expected = np.concatenate([x, -up], 1)[np.argsort(x[:, 0])]
        turned = found[order] - found.mean(0)
        expected = expected - expected.mean(0)
        np.testing.assert_allclose(turned, expected * (np.ptp(turned) / np.ptp(expected)), atol=1e-9)


def test_near_points_lie_over_far_ones(ax):
    cloud = torch.tensor([[[0.0, -1.0, 0.0], [0.1, 1.0, 0.0], [0.2, 0.0, 0.0], [torch.nan] * 3]])
    plot_clouds(cloud, view=(-90.0, 0.0), ax=ax)
    assert len(drawn(ax)[0]) == 3  # the absent point is not drawn
    shades = ax.collections[0].get_array()
    assert (np.diff(shades) > 0).all()
    assert drawn(ax)[0][-1, 0] < drawn(ax)[0][0, 0]  # the nearest is the leftmost


def test_points_keep_their_color_on_their_way(ax):
    way = torch.randn(4, 20, 3, generator=seeded())
    plot_interpolation(way, view=(-55.0, 0.0), ax=ax)
    assert len(ax.collections) == 4
    order = way[0, :, 2].argsort()  # from below, as the colors are
    for part, cloud in zip(ax.collections, way, strict=True):
        np.testing.assert_array_equal(part.get_array(), np.arange(20))
        height = part.get_offsets().data[:, 1]
        assert np.corrcoef(height, -cloud[order, 2])[0, 1] == pytest.approx(1, abs=1e-6)
    assert {"0", "1"} <= {text.get_text() for text in ax.texts}
    ax.figure.canvas.draw()


def test_bad_arguments_are_named(ax):
    with pytest.raises(ShapeError, match="2 or 3 dimensions to be drawn, got 4"):
        plot_clouds(torch.zeros(1, 2, 4), ax=ax)
    with pytest.raises(ArgumentError, match="row_names must hold 1 texts, one for each row, got 2"):
        plot_clouds(torch.zeros(1, 2, 3), row_names=["a", "b"], ax=ax)


def test_equal_points_are_drawn_in_the_middle(ax):
    plot_clouds(torch.ones(3, 5, 3), ax=ax)
    ax.figure.canvas.draw()
    for column, points in enumerate(drawn(ax)):
        np.testing.assert_allclose(points, np.broadcast_to([column + 0.5, 0.5], (5, 2)))


@pytest.mark.parametrize("captions", [["x"], ["x", "y", "z", "more"]])
def test_captions_are_one_for_each_column(ax, captions):
    with pytest.raises(ArgumentError, match="captions must hold 3 texts, one for each column"):
        plot_clouds(torch.randn(3, 5, 2, generator=seeded()), captions=captions, ax=ax)


def test_a_way_may_be_an_array_or_a_list(ax):
    way = torch.randn(4, 20, 3, generator=seeded()).numpy()
    for form in (way, list(way)):
        plot_interpolation(form, ax=ax)
    first, again = drawn(ax)[:4], drawn(ax)[4:]
    np.testing.assert_array_equal(first, again)
