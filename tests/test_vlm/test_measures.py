"""The measures of a map, by hand."""

import math

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.vlm import Attribution, pointing, spread
from ttr_backbones.vlm.inputs import ImageTokens


def made(weights, patches, grid=(2, 2), box=(0.25, 0.0, 0.75, 1.0)):
    """One answer token on one tile that lies in the middle of the photograph."""
    place = ImageTokens(
        torch.arange(len(patches)),
        torch.tensor(patches),
        grid,
        torch.tensor([box], dtype=torch.float64),
    )
    return Attribution("x", ["x"], [7], torch.tensor([weights]), place, torch.ones(1, *grid))


def test_spread__newlines_count_for_the_image_but_hold_no_patch():
    found = made([0.3, 0.1, 0.1, 0.3], [[0, 1], [2, -1], [3, -1], [-1, -1]])
    outliers = torch.tensor([[[False, True], [False, False]]])
    numbers = spread(found, outliers)
    assert numbers.on_image == pytest.approx(0.8)
    assert numbers.on_outliers == pytest.approx(0.6)
    assert numbers.outliers == 0.25
    entropy = -(0.6 * math.log(0.6) + 2 * 0.2 * math.log(0.2)) / math.log(3)
    assert numbers.entropy == pytest.approx(entropy)
    assert spread(found).on_outliers is None
    on_patches = torch.tensor([[[[0.15, 0.15], [0.1, 0.1]]]])
    torch.testing.assert_close(found.on_patches(), on_patches)
    with pytest.raises(InputError, match="expected a mask"):
        spread(found, outliers[0])


def test_pointing__peak_and_share_of_the_photograph():
    found = made([0.1, 0.4, 0.2, 0.1], [[0], [1], [2], [3]])
    result = pointing(found, [(0.5, 0.0, 1.0, 0.5)])
    assert result.hit
    assert result.peak == pytest.approx((0.625, 0.25))
    assert result.inside == pytest.approx(0.5)
    assert result.area == pytest.approx(0.25)
    assert not pointing(found, [(0.0, 0.5, 0.5, 1.0)]).hit
    assert pointing(found, [(0.8, 0.0, 1.0, 1.0)]) is None
    apart = made([0.4, 0.1, 0.1, 0.1, 0.4, 0.1], [[i] for i in range(6)], grid=(2, 3))
    assert pointing(apart, [(0.4, 0.4, 0.6, 0.6)]).peak == pytest.approx((1 / 3, 0.25))
    with pytest.raises(InputError, match="at least one box"):
        pointing(found, [])
