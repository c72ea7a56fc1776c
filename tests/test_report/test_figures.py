"""Figures by numbers: one scale before and after, outliers visible before and gone after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm

from ttr_backbones.report.columns import column_colour
from ttr_backbones.report.figures.attention import draw_heads, draw_mean_attention, mean_attention
from ttr_backbones.report.figures.curves import (
    DRAWN_FROM_NUMBERS,
    draw_blocks,
    draw_histograms,
    draw_positions,
)
from ttr_backbones.report.figures.maps import relative
from ttr_backbones.report.figures.norms import draw_norms_per_block, norm_maps
from ttr_backbones.report.figures.overview import draw_overview
from ttr_backbones.report.pca import pca_maps
from ttr_backbones.report.summary import summarize

BLOCK = 7


@pytest.fixture(scope="module")
def photographs():
    return np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def summary(real_inspections):
    return summarize(
        real_inspections, model="vit", size=(224, 224), images=["a.jpg", "b.jpg", "c.jpg"]
    )


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def colour_at(figure, axis, x, y):
    """Colour of the pixel at data coordinates (x, y) of an axis."""
    picture = pixels(figure)
    column, row = axis.transData.transform((x, y))
    return picture[round(picture.shape[0] - row), round(column)]


def test_norms_have_one_scale_on_which_outliers_are_seen_and_gone(real_inspections):
    maps = norm_maps(real_inspections, BLOCK)
    before, after = maps.columns
    assert (maps.norm.vmin, maps.norm.vmax) == (min(before.min(), after.min()), before.max())
    assert isinstance(maps.norm, LogNorm)
    assert before.max() > 500 > 40 > after.max()
    assert "largest norm 5" in maps.titles[0]


def test_overview__an_outlier_is_bright_before_and_dark_after(real_inspections, photographs):
    figure = draw_overview(
        real_inspections, photographs, pca_maps(real_inspections), block=BLOCK, title="vit"
    )
    _, norms, attention, colours = [a for a in figure.axes if a.images and a.get_xticklabels()][:4]
    image, row, column = (real_inspections[0].norms[BLOCK] > 77).nonzero()[0].tolist()
    x, y = (column + 0.5) / 14, image + (row + 0.5) / 14  # in tiles; the second column is after
    for axis in (norms, attention):
        before, after = colour_at(figure, axis, x, y), colour_at(figure, axis, 1 + x, y)
        assert before.sum() > after.sum() + 150
    assert len(colours.images) == 6
    assert min(pixels(figure).shape[:2]) > 1000, "print quality"


def test_relative_maps_share_a_scale_by_image():
    first, second = torch.rand(2, 20, 20), 3 * torch.rand(2, 20, 20)
    one, other = relative([first, second])
    for image in range(2):
        scale = np.quantile(torch.stack([first, second])[:, image].numpy(), 0.98)
        np.testing.assert_allclose(one[image], first[image].numpy() / scale, rtol=1e-5)
        np.testing.assert_allclose(other[image], second[image].numpy() / scale, rtol=1e-5)


def test_attention__mean_and_heads_show_every_image_and_kind(real_inspections, photographs):
    maps = mean_attention(real_inspections, 11)
    outliers = (real_inspections[0].norms[BLOCK] > 77).numpy()
    assert maps.columns[0][outliers].mean() > 3 * maps.columns[1][outliers].mean()
    mean = draw_mean_attention(real_inspections, photographs, 11, title="vit")
    assert [len(axis.images) for axis in mean.axes[:2]] == [3, 3 * 2]
    heads = draw_heads(real_inspections, photographs, 11, title="vit")
    assert [len(axis.images) for axis in heads.axes[:2]] == [3 * 2, 3 * 2 * 3]
    names = [label.get_text() for label in heads.axes[1].get_xticklabels()]
    assert names == ["head 0", "head 1", "head 2"]


def test_norms_per_block__every_block_of_a_shallow_model(real_inspections, photographs):
    figure = draw_norms_per_block(real_inspections, photographs, BLOCK, title="vit")
    names = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert names == [f"block {block}" for block in range(12)]
    arrays = [image.get_array() for image in figure.axes[1].images]  # columns, then rows
    before_block_7 = arrays[7 * 6]
    np.testing.assert_array_equal(before_block_7, real_inspections[0].norms[7, 0].numpy())
    assert len({image.norm for image in figure.axes[1].images}) == 1, "one scale"


def test_blocks__lines_are_the_numbers(summary):
    figure = draw_blocks(summary, title="vit")
    left, right = figure.axes
    none = [line for line in left.lines if line.get_color() == column_colour("none")]
    assert list(none[0].get_ydata()) == summary["registers"]["none"]["largest_norm"]
    assert left.get_yscale() == "log"
    added = [line for line in right.lines if line.get_color() == column_colour("test_time")]
    assert not any(added[0].get_ydata())


def test_histograms__have_the_same_logarithmic_axes(summary):
    figure = draw_histograms(summary, title="vit")
    before, after = figure.axes
    assert before.get_xlim() == after.get_xlim()
    assert (before.get_xscale(), before.get_yscale()) == ("log", "log")
    drawn = [patch.get_data().values for patch in after.patches]
    assert [values.sum() for values in drawn] == [3 * 196, 3, 3], "patches, CLS, registers"


def test_positions__count_images_on_one_scale(summary):
    before, after = draw_positions(summary, title="vit").axes[:2]
    assert before.images[0].get_clim() == after.images[0].get_clim() == (0, 3)
    assert before.images[0].get_array().sum() > 8
    assert after.images[0].get_array().sum() == 0
    assert "no outliers" in after.get_title()


@pytest.mark.parametrize("name", DRAWN_FROM_NUMBERS)
def test_figures_from_numbers__without_outliers_too(real_inspections, name):
    summary = summarize(
        real_inspections[1:], model="vit", size=(224, 224), images=["a.jpg", "b.jpg", "c.jpg"]
    )
    assert summary["threshold"] is None
    picture = pixels(DRAWN_FROM_NUMBERS[name](summary, title="vit"))
    assert len(np.unique(picture @ [1, 256, 256**2])) > 20, "blank"
