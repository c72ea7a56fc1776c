"""Views of images: where they come from, what is chosen, and back by index."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.vits.shifted_views import (
    Views,
    average_back,
    draw_views,
    farthest_points,
    fill_colour,
    put_back,
    stack_views,
    view_images,
)

GRID, PATCH = (6, 10), (2, 3)


@pytest.fixture
def images():
    return torch.randn(2, 3, 12, 30, generator=torch.Generator().manual_seed(0))


def patches_as_features(images, flips):
    """A network whose feature is the patch's pixels; it knows that a mirrored patch is mirrored."""
    blocks = images.unflatten(2, (-1, PATCH[0])).unflatten(4, (-1, PATCH[1]))
    blocks = torch.where(flips.view(-1, 1, 1, 1, 1, 1), blocks.flip(5), blocks)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fill", [torch.tensor([1.0, 2.0, 3.0]), None])
def test_views_map_back_exactly_where_they_show_the_image(images, fill):
    views = stack_views([draw_views(7, GRID, seeded(seed), share=0.3) for seed in (1, 2)])
    assert views.flips.any()
    made = view_images(images, views, PATCH, fill)
    assert torch.equal(made.unflatten(0, (2, 7))[:, 0], images)
    placed, visible = put_back(patches_as_features(made, views.flips.flatten()), views, GRID)
    expected = patches_as_features(images, torch.zeros(2, dtype=torch.bool))
    matches = (placed == expected[:, None]).all(dim=3)
    assert matches[visible].all()
    if fill is not None:
        assert not matches[~visible].any()
    assert visible[:, 0].all()
    average = average_back(patches_as_features(made, views.flips.flatten()), views, GRID)
    torch.testing.assert_close(average, expected)


def test_a_view_by_hand(images):
    """Two patches of three down, one to the right, not mirrored: the other end is filled."""
    views = Views(torch.tensor([[0.0, 0.0], [1.0, 0.5]]), torch.tensor([False, False]), 1 / 3)
    made = view_images(images, views, PATCH, torch.tensor([7.0, 8.0, 9.0]))
    shifted = made[1]  # by (2, round(.5 * 3)) = (2, 2) patches, (4, 6) pixels
    assert torch.equal(shifted[:, :-4, :-6], images[0, :, 4:, 6:])
    assert torch.equal(
        shifted[:, -4:, :], torch.tensor([7.0, 8.0, 9.0])[:, None, None].expand(3, 4, 30)
    )
    _, visible = put_back(torch.zeros(4, 60, 1), views, GRID)
    counts = visible.sum(dim=1).unflatten(1, GRID)[0]
    expected = torch.ones(GRID)
    expected[2:, 2:] = 2
    assert torch.equal(counts.float(), expected)


def test_a_mirrored_view_and_a_reflected_border(images):
    views = Views(torch.tensor([[0.0, 0.0], [-1.0, 0.0]]), torch.tensor([False, True]), 1 / 6)
    made = view_images(images, views, PATCH, None)[1]
    reflected = F.pad(images[:1], (0, 0, 2, 0), mode="reflect")[0, :, :12]
    assert torch.equal(made, reflected.flip(2))


def test_shifts_are_whole_patches_far_from_each_other_within_the_share():
    views = draw_views(10, (37, 37), seeded(3))
    shifts = views.shifts * round(0.15 * 37)
    assert torch.equal(shifts.round(), shifts)
    assert shifts.abs().max() <= 6
    assert torch.equal(shifts[0], torch.zeros(2))
    assert not views.flips[0]
    assert len(shifts.unique(dim=0)) == 10
    nearest = torch.cdist(shifts, shifts).fill_diagonal_(99).min()
    drawn = torch.randint(-6, 7, (10, 2), generator=seeded(3)).float()
    assert nearest > torch.cdist(drawn, drawn).fill_diagonal_(99).min()
    again = draw_views(10, (37, 37), seeded(3))
    assert torch.equal(again.shifts, views.shifts)
    assert torch.equal(again.flips, views.flips)


def test_farthest_points__as_by_brute_force():
    points = torch.randint(-6, 7, (40, 2), generator=seeded(4)).float()
    chosen = [0]
    for _ in range(9):
        nearest = [min((a - points[b]).norm() for b in chosen) for a in points]
        chosen.append(max(range(40), key=nearest.__getitem__))
    assert farthest_points(points, 10).tolist() == chosen


def test_fill_colour_is_white_after_the_normalisation():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert fill_colour("white", mean, std) == pytest.approx((2.249, 2.429, 2.640), abs=1e-3)
    assert fill_colour("zero", mean, std) == (0, 0, 0)
    assert fill_colour("reflect", mean, std) is None
    with pytest.raises(InputError, match=r"fill='black': expected 'white', 'zero', 'reflect'"):
        fill_colour("black", mean, std)


def test_numbers_out_of_range_are_explained():
    for options in ({"num": 0}, {"num": 101}, {"share": 1.0}, {"flip": 1.5}):
        with pytest.raises(InputError, match="expected"):
            draw_views(**{"num": 3, "grid": GRID, "generator": seeded(0)} | options)


def test_small_grids_have_no_room_to_shift():
    assert not draw_views(4, (2, 3), seeded(0)).shifts.any()
    assert all(
        (draw_views(2, (h, w), seeded(0)).shifts.abs() <= 1).all()
        for h, w in itertools.product((3, 4, 14), repeat=2)
    )
