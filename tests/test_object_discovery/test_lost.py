"""LOST: hand-made maps with known answers, and box for box what the protocol says."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.bench.object_discovery import usual_lost
from ttr_backbones.object_discovery import lost, lost_batch
from ttr_backbones.object_discovery.detections import Geometry
from ttr_backbones.object_discovery.lost import lost_over_biases

GRID, PATCH, SIZE = (6, 8), (16, 16), (96, 128)


def assert_same(found, other):
    assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))


def assert_as_usual(found, feats, place, **options):
    """Compare a batch with the plain numpy form, which is written straight from the protocol."""
    for index, feature in enumerate(feats):
        box, seed, degrees = usual_lost(feature.numpy(), *place, **options)
        assert found.seeds[index] == seed
        assert found.degrees[index].tolist() == degrees.tolist()
        assert found.boxes[index].tolist() == box


def test_a_rectangle_is_found_exactly(rectangle):
    box, seed, degrees = lost(rectangle(GRID, (1, 3), (2, 5)), GRID, PATCH, SIZE)
    assert box.tolist() == [32, 16, 80, 48]
    assert box.dtype == torch.int64
    assert seed == 1 * 8 + 2, "the first of its patches"
    inside = torch.zeros(GRID, dtype=torch.bool)
    inside[1:3, 2:5] = True
    assert degrees.tolist() == torch.where(inside, 6 - 1, 42 - 1).flatten().tolist()


def test_the_box_is_cut_at_the_image_and_not_at_the_padding(rectangle):
    feats = rectangle(GRID, (4, 6), (6, 8))
    assert lost(feats, GRID, PATCH, (96, 128)).box.tolist() == [96, 64, 128, 96]
    assert lost(feats, GRID, PATCH, (81, 113)).box.tolist() == [96, 64, 113, 81]
    assert lost(feats, GRID, (14, 10), (84, 80)).box.tolist() == [60, 56, 80, 84]


def test_of_two_objects_only_the_seeds_component_is_boxed(rectangle):
    feats = rectangle(GRID, (0, 2), (0, 2))
    other = rectangle(GRID, (2, 4), (2, 4))  # touches the first at a corner: not a neighbour
    feats = torch.where(other == 1, other, feats)
    assert lost(feats, GRID, PATCH, SIZE).box.tolist() == [0, 0, 32, 32]


def test_ties_go_to_the_first_patch():
    """Two equal rectangles, all of one degree: the first patch in row-major order wins."""
    feats = -torch.eye(3)[2].repeat(4, 9, 1)
    feats[0:2, 6:8] = torch.tensor([1.0, 0, 0.1])
    feats[2:4, 0:2] = torch.tensor([0, 1.0, 0.1])
    found = lost(feats.flatten(0, 1), (4, 9), PATCH, (64, 144), k=4)
    assert found.seed == 6
    assert found.degrees[[6, 18]].tolist() == [7, 7]
    flipped = lost(feats.flip(0).flatten(0, 1), (4, 9), PATCH, (64, 144), k=4)
    assert flipped.seed == 0
    assert flipped.box.tolist() == [0, 0, 32, 32]


def test_k_limits_the_helpers():
    """A chain: the seed is like the middle, the middle like the end; only helpers pass it on."""
    start, middle, end, rest = [3.0, 0, 0, -2], [2.0, 2, 0, -2], [0, 3.0, 0, -2], [0, 0, 0, 5.0]
    feats = torch.tensor([start, middle, end, *[rest] * 5])
    feats = feats - torch.tensor([0, 0, 0, -2.0])
    feats[3:, 0] = -0.1
    place = ((1, 8), PATCH, (16, 128))
    for k, box in [(1, [0, 0, 32, 16]), (3, [0, 0, 48, 16]), (100, [0, 0, 48, 16])]:
        found = lost(feats, *place, k=k)
        assert found.box.tolist() == usual_lost(feats.numpy(), *place, k=k)[0] == box


@pytest.mark.parametrize("grid", [(1, 7), (7, 1), (1, 2)])
def test_one_row_or_one_column(grid):
    feats = torch.tensor([[1.0, 0.5]] + [[-1.0, 0]] * (grid[0] * grid[1] - 1))
    place = (grid, PATCH, (grid[0] * 16, grid[1] * 16))
    found = lost_batch(feats[None], *place)
    assert_as_usual(found, feats[None], place)
    if len(feats) > 2:
        assert found.boxes.tolist() == [[0, 0, 16, 16]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bias", [0.0, -0.4, 0.3])
@pytest.mark.parametrize("grid", [(9, 13), (14, 14), (3, 5), (1, 40)])
def test_random_maps_give_the_protocols_boxes(seed, bias, grid):
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(6, 16, *(max(1, s // 3) for s in grid), generator=generator)
    feats = F.interpolate(smooth, grid, mode="bilinear").flatten(2).transpose(1, 2)
    feats = feats + 0.3 * torch.randn(feats.shape, generator=generator)
    place = (grid, (14, 16), (grid[0] * 14 - 3, grid[1] * 16 - 9))
    for k in (1, 20, 100):
        assert_as_usual(lost_batch(feats, *place, k, bias), feats, place, k=k, bias=bias)
    unit = torch.from_numpy(feats.numpy() / np.linalg.norm(feats, axis=2, keepdims=True))
    found = lost_batch(feats, *place, bias=bias, normalize=True)
    assert_as_usual(found, unit, place, bias=bias)


@pytest.mark.parametrize("bias", [0.0, -0.2, -0.5])
def test_features_of_the_real_vit_give_the_protocols_boxes(real_maps, bias):
    place = ((14, 14), (16, 16), (224, 224))
    for real in real_maps:
        feats = real.flatten(2).transpose(1, 2)
        feats = F.normalize(feats, dim=2) if bias else feats
        found = lost_batch(feats, *place, bias=bias)
        assert_as_usual(found, feats, place, bias=bias)
        several = lost_over_biases(feats, Geometry(*place), 100, [-1, bias], normalize=False)
        assert_same(several[1], found)


def test_a_batch_gives_what_each_image_gives(real_maps, monkeypatch):
    feats, place = real_maps[0].flatten(2).transpose(1, 2), ((14, 14), (16, 16), (224, 224))
    whole = lost_batch(feats, *place, bias=-20)
    for index, feature in enumerate(feats):
        one = lost_batch(feature[None], *place, bias=-20)
        assert_same(one, [field[index : index + 1] for field in whole])
        alone = lost(feature, *place, bias=-20)
        assert alone.box.tolist() == whole.boxes[index].tolist()
        assert alone.seed == whole.seeds[index]
    monkeypatch.setattr(sys.modules["ttr_backbones.object_discovery.lost"], "_CPU_ROWS", 50)
    assert_same(lost_batch(feats, *place, bias=-20), whole)


def test_half_precision_and_autocast_compute_in_float32(real_maps):
    feats, place = real_maps[0].flatten(2).transpose(1, 2), ((14, 14), (16, 16), (224, 224))
    for dtype in (torch.float16, torch.bfloat16):
        rounded = feats.to(dtype)
        assert_same(lost_batch(rounded, *place), lost_batch(rounded.float(), *place))
    expected = lost_batch(feats, *place)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(lost_batch(feats, *place), expected)


def test_everything_similar_collapses_and_says_so(rectangle):
    same = torch.ones(48, 3) + torch.rand(48, 3, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="nothing to choose by.*negative `bias`"):
        found = lost(same, GRID, PATCH, SIZE)
    assert found.box.tolist() == [0, 0, 128, 96]
    assert found.degrees.tolist() == [47] * 48
    feats = rectangle(GRID, (1, 3), (2, 5))
    both = lost_batch(torch.stack([same[:, :2], feats]), GRID, PATCH, SIZE)
    assert both.collapsed.tolist() == [True, False]
    offset = feats + torch.tensor([4.0, 0])
    assert lost_batch(offset[None], GRID, PATCH, SIZE).collapsed.all()
    mended = lost_batch(offset[None], GRID, PATCH, SIZE, bias=-0.99, normalize=True)
    assert mended.boxes.tolist() == [[32, 16, 80, 48]]
    assert not mended.collapsed.any()


def test_a_bias_that_leaves_no_helper_gives_the_seeds_patch_and_collapses():
    feats = torch.tensor([[1.0, 0], [3.0, 0], [3.0, 1], [3.0, 2]])
    found = lost_batch(feats[None], (2, 2), PATCH, (32, 32), bias=-5.0)
    assert found.degrees.tolist() == [[0, 2, 2, 2]]
    assert found.boxes.tolist() == [[0, 0, 16, 16]]
    assert found.collapsed.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feats": torch.ones(47, 2)}, r"47 patches, but grid=\(6, 8\) has 48: .*without CLS"),
        ({"feats": torch.ones(1, 48, 2)}, r"one image's features \[N, C\], got \(1, 48, 2\)"),
        ({"feats": torch.ones(48, 2).int()}, "floating-point features"),
        ({"feats": torch.full((48, 2), torch.nan)}, "image 0 of the batch hold NaN or infinity"),
        ({"image_size": (80, 128)}, r"image_size=\(80, 128\) does not reach the last row"),
        ({"k": 0}, "k=0: expected at least 1"),
        ({"bias": float("nan")}, "bias=nan: expected a finite number"),
    ],
)
def test_bad_input_is_explained(change, message):
    given = {"feats": torch.ones(48, 2), "grid": GRID, "patch": PATCH, "image_size": SIZE}
    with pytest.raises(ValueError, match=message):
        lost(**(given | change))


def test_only_the_broken_images_of_a_batch_are_named():
    feats = torch.ones(3, 48, 2)
    feats[1, 5, 0], feats[2, 0, 1] = torch.inf, torch.nan
    with pytest.raises(ValueError, match="image 1, 2 of the batch"):
        lost_batch(feats, GRID, PATCH, SIZE)


@pytest.mark.gpu
def test_a_gpu_gives_the_boxes_of_the_cpu(real_maps):
    place = ((14, 14), (16, 16), (224, 224))
    for real in real_maps:
        feats = real.flatten(2).transpose(1, 2)
        found = lost_batch(feats.cuda(), *place, bias=-0.2, normalize=True)
        expected = lost_batch(feats, *place, bias=-0.2, normalize=True)
        assert all(field.is_cuda for field in found)
        assert torch.equal(found.boxes.cpu(), expected.boxes)
