"""Norm maps of images of two sizes, as numbers."""

import numpy as np
import pytest
import torch
from matplotlib import colormaps

from ttr_backbones.report.norm_picture import draw_norm_maps


def test_outlier__is_brightest_before_and_gone_after():
    images = [np.full(shape, 30, np.uint8) for shape in ((64, 64, 3), (64, 128, 3))]
    after = [torch.full((4, 4), 20.0), torch.full((4, 8), 20.0)]
    before = [one.clone() for one in after]
    before[1][2, 6] = 600
    columns = {"without": before, "with": after}
    picture = draw_norm_maps(images, columns, label="norm").astype(int)
    yellow, purple = (
        np.abs(picture - [round(255 * c) for c in colormaps["viridis"](end)[:3]]).max(axis=2) < 3
        for end in (1.0, 0.0)
    )
    maps = slice(0, int(picture.shape[0] * 0.8))  # the colour bar lies below
    middle = picture.shape[1] * 2 // 3
    assert yellow[maps, :middle].sum() > 100
    assert yellow[maps, middle:].sum() == 0
    # One scale: all other patches have the colour of the smallest norm in both columns.
    left, right = purple[maps, :middle].sum(), purple[maps, middle:].sum()
    assert left == pytest.approx(right, rel=0.05)
