"""Resampling by matrices equals torch's, which is what the models use."""

import itertools

import pytest
import torch

from ttr_backbones.backbones.padding import crop_map, margins
from ttr_backbones.export.resampling import resampled_table, resampled_window
from ttr_backbones.registers import add_test_time_registers
from ttr_backbones.vits.pos_embed import position_table

GRIDS = [(4, 6), (6, 4), (4, 5), (3, 6), (5, 6), (1, 1), (1, 9), (9, 13), (32, 33)]


@pytest.mark.parametrize("how", ["timm", "dinov2"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_resampled_table__equals_the_model_s(make_vit, how, grid):
    vit = add_test_time_registers(make_vit(img_size=(64, 96)), {1: [3]}, num=2)
    expected = position_table(vit, grid, how)
    table = resampled_table(vit.pos_embed, 1, (4, 6), grid, how)
    assert table.shape == (1, 1 + grid[0] * grid[1], 32)
    torch.testing.assert_close(table, expected, rtol=0, atol=1e-5)
    if grid == (4, 6):
        assert torch.equal(table, expected), "at its own grid nothing is resampled"


def test_resampled_table__without_positions_of_the_prefix(make_vit):
    vit = make_vit(no_embed_class=True, img_size=(64, 96))
    table = resampled_table(vit.pos_embed, 0, (4, 6), (5, 9), "timm")
    torch.testing.assert_close(table, position_table(vit, (5, 9), "timm"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "mode"),
    list(itertools.product([(64, 96), (65, 97), (79, 80), (17, 31)], ["center", "corner"])),
)
def test_resampled_window__equals_the_model_s(size, mode):
    around = margins(size, (16, 16), mode)
    grid = [(side + sum(around[i : i + 2])) // 16 for side, i in zip(size, (2, 0), strict=True)]
    x = torch.randn(2, 5, *grid, generator=torch.Generator().manual_seed(0))
    cropped = resampled_window(x, around, (16, 16))
    torch.testing.assert_close(cropped, crop_map(x, around, (16, 16)), rtol=0, atol=1e-5)
    if size == (64, 96):
        assert torch.equal(cropped, x)
