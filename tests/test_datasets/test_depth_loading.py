import cv2
import numpy as np
import pytest

from ttr_backbones.datasets import LoadDepth
from ttr_backbones.errors import InputError, MissingFileError


@pytest.fixture
def depth():
    """Millimetres, uint16 [30, 40], 0 in the first row."""
    values = np.random.default_rng(0).integers(500, 9000, (30, 40)).astype(np.uint16)
    values[0] = 0
    return values


def save(path, values):
    cv2.imwrite(str(path), values)
    return path


def load(path, size=(30, 40), **kwargs):
    given = {"img_path": "rgb.jpg", "depth_map_path": str(path), "ori_shape": size}
    return LoadDepth(**kwargs)(given | {"seg_fields": []})


@pytest.mark.parametrize(("scale", "max_depth"), [(1000.0, 10.0), (256.0, 80.0)])
def test_depth__is_the_file_s_value_over_the_scale(tmp_path, depth, scale, max_depth):
    results = load(save(tmp_path / "d.png", depth), scale=scale, max_depth=max_depth)
    assert results["gt_depth_map"].dtype == np.float32
    # As published: to float32 first, then divided.
    assert np.array_equal(results["gt_depth_map"], np.float32(depth) / np.float32(scale))
    assert np.array_equal(results["gt_depth_map"] == 0, depth == 0)
    assert results["seg_fields"] == ["gt_depth_map"]


def test_missing(tmp_path):
    with pytest.raises(MissingFileError, match=r"the depth map .*d.png does not exist"):
        load(tmp_path / "d.png")


def test_truncated(tmp_path):
    noise = np.random.default_rng(0).integers(1, 9000, (300, 400)).astype(np.uint16)
    path = save(tmp_path / "d.png", noise)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(InputError, match=r"depth map .*d.png .*cannot be decoded.*complete PNG"):
        load(path)


def test_eight_bits(tmp_path, depth):
    path = save(tmp_path / "d.png", (depth / 40).astype(np.uint8))
    with pytest.raises(InputError, match=r"\[30, 40\] of uint8: expected one channel of uint16"):
        load(path)


def test_colour(tmp_path, depth):
    path = save(tmp_path / "d.png", np.stack([depth] * 3, axis=2))
    with pytest.raises(InputError, match=r"read as \[30, 40, 3\] of uint16: expected one channel"):
        load(path)


def test_another_size(tmp_path, depth):
    path = save(tmp_path / "d.png", depth)
    with pytest.raises(InputError, match=r"is 40x30 pixels and its image rgb.jpg is 20x30"):
        load(path, size=(30, 20))


def test_all_zero(tmp_path, depth):
    with pytest.raises(InputError, match="is 0 everywhere, and 0 means a missing depth"):
        load(save(tmp_path / "d.png", depth * 0))


@pytest.mark.parametrize(("factor", "scale"), [(0.01, 1000.0), (1, 256.0), (1, 1e6)])
def test_wrong_scale(tmp_path, depth, factor, scale):
    values = (depth * factor).astype(np.uint16)
    median = np.median(values[values > 0]) / scale
    with pytest.raises(InputError, match=rf"median depth of {median:g} m .*expected 0.1 to 10 m"):
        load(save(tmp_path / "d.png", values), scale=scale)


def test_a_few_far_pixels__are_no_wrong_scale(tmp_path, depth):
    depth[5:15] = 60_000
    assert load(save(tmp_path / "d.png", depth))["gt_depth_map"].max() == 60


@pytest.mark.parametrize("given", [{"scale": 0}, {"max_depth": -1}])
def test_arguments_that_make_no_sense(given):
    with pytest.raises(InputError, match="expects a positive scale"):
        LoadDepth(**given)


def test_real_pairs(shared):
    files = sorted((shared / "data" / "nyu").glob("*/sync_depth_*.png"))
    assert len(files) == 4
    for file in files:
        found = load(file, size=(480, 640))["gt_depth_map"]
        assert 0.4 < np.median(found[found > 0]) < 10
