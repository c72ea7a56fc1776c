"""The transforms against plain re-statements of the published ones (protocols: BTS, DINOv2)."""

import albumentations
import cv2
import mmcv
import numpy as np
import pytest
from scipy import stats

from ttr_backbones.datasets import Albumentations, ColorAug, KBCrop
from ttr_backbones.engine import Draw, SeedSample
from ttr_backbones.errors import InputError

CROP = {"type": "Crop", "x_min": 43, "y_min": 45, "x_max": 608, "y_max": 472}
ROTATE = {"type": "Rotate", "limit": 2.5, "p": 0.5}
FLIP = {"type": "HorizontalFlip", "p": 0.5}
RANDOM_CROP = {"type": "RandomCrop", "height": 416, "width": 544}


def seed(number):
    SeedSample()({"sample_idx": Draw(0, number, 0)})


def depth_of(x, y):
    return 1 + x / 100 + y / 200


def scene(height=480, width=640):
    """An image that tells x (blue) and y (green) of its pixels, and depth as a function of them."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 0 * x + 50], axis=2)
    depth = depth_of(x, y).astype(np.float32)
    return {"img": image.round().astype(np.uint8), "gt_depth_map": depth}


def apply(transform, **sample):
    results = {key: value.copy() for key, value in (sample or scene()).items()}
    return transform(results | {"seg_fields": ["gt_depth_map"], "img_path": "a.jpg"})


def test_chain__keeps_image_and_depth_aligned():
    chain = Albumentations([CROP, ROTATE | {"p": 1.0}, FLIP, RANDOM_CROP])
    original = np.append(np.unique(scene()["gt_depth_map"]), 0)
    for number in range(8):
        seed(number)
        results = apply(chain)
        image, depth = results["img"].astype(np.float64), results["gt_depth_map"]
        assert results["img_shape"] == depth.shape == (416, 544)
        assert depth.dtype == np.float32
        assert np.isin(depth, original).all()  # taken, never blended
        expected = depth_of(image[..., 0] / 255 * 639, image[..., 1] / 255 * 479)
        # Not where the image is blended with the black that comes in.
        inside = cv2.erode(np.uint8(depth > 0), np.ones((5, 5)), borderValue=0) > 0
        # Half a pixel by the nearest neighbour, and twice half a grey level, which is 2.5 pixels
        # in x and 1.9 in y; on the whole not even a fifth of a pixel.
        assert np.abs(expected - depth)[inside].max() < 0.042
        assert abs((expected - depth)[inside].mean()) < 0.001
        assert inside.mean() > 0.9


@pytest.mark.parametrize("limit", [-2.5, -0.7, 1.3])
def test_rotation__equals_mmcv_s(limit):
    given = scene()
    given["img"] = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    results = apply(Albumentations([ROTATE | {"limit": (limit, limit), "p": 1.0}]), **given)
    # The signs differ, which a symmetric range does not see.
    assert np.array_equal(results["img"], mmcv.imrotate(given["img"], -limit))
    depth = mmcv.imrotate(given["gt_depth_map"], -limit, interpolation="nearest")
    assert np.array_equal(results["gt_depth_map"], depth)


def test_nyu_crop_and_flip__are_slices():
    given = scene()
    results = apply(Albumentations([CROP, FLIP | {"p": 1.0}]), **given)
    assert np.array_equal(results["img"], given["img"][45:472, 43:608][:, ::-1])
    assert np.array_equal(results["gt_depth_map"], given["gt_depth_map"][45:472, 43:608][:, ::-1])


def test_rotation__is_uniform_and_happens_half_of_the_time(monkeypatch):
    geometry = albumentations.augmentations.geometric.functional
    angles = []

    def recorded(image, matrix, *others):
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
        return image

    monkeypatch.setattr(geometry, "warp_affine", recorded)
    rotate = Albumentations([ROTATE])
    small = np.zeros((4, 4, 3), dtype=np.uint8)
    count = 3000
    for number in range(count):
        seed(number)
        rotate({"img": small})
    assert stats.binomtest(len(angles), count, 0.5).pvalue > 0.01
    assert stats.kstest(angles, stats.uniform(-2.5, 5).cdf).pvalue > 0.01


def test_flip_and_crop__are_uniform_and_independent():
    chain = Albumentations([FLIP, RANDOM_CROP | {"height": 9, "width": 7}])
    code = np.arange(12 * 11, dtype=np.float32).reshape(12, 11)
    image = np.zeros((12, 11, 3), dtype=np.uint8)
    seen = np.zeros((2, 4, 5))
    for number in range(4000):
        seed(number)
        depth = chain({"img": image, "gt_depth_map": code})["gt_depth_map"]
        flipped = int(depth[0, 1] < depth[0, 0])
        y, x = divmod(int(depth[0, 0]), 11)
        seen[flipped, y, 10 - x if flipped else x] += 1
    assert seen.shape == (2, 12 - 9 + 1, 11 - 7 + 1)  # every position, on both sides
    assert stats.chisquare(seen.ravel()).pvalue > 0.01


def test_draws__follow_the_seed_only():
    first, second = Albumentations([ROTATE, RANDOM_CROP]), Albumentations([ROTATE, RANDOM_CROP])

    def drawn(transform, number):
        seed(number)
        return apply(transform)["gt_depth_map"]

    assert np.array_equal(drawn(first, 1), drawn(second, 1))
    assert not np.array_equal(drawn(first, 1), drawn(first, 2))


def test_colours__reach_albumentations_as_rgb():
    to_grey = Albumentations([{"type": "ToGray", "method": "weighted_average", "p": 1.0}])
    given = scene(20, 30)
    expected = cv2.cvtColor(given["img"], cv2.COLOR_BGR2GRAY)
    assert np.array_equal(apply(to_grey, **given)["img"], np.stack([expected] * 3, axis=2))


def test_nested__one_of():
    chain = Albumentations([{"type": "OneOf", "transforms": [FLIP | {"p": 1.0}], "p": 1.0}])
    given = scene(20, 30)
    assert np.array_equal(apply(chain, **given)["img"], given["img"][:, ::-1])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "Rotat"}, r"unknown albumentations transform 'Rotat'. Did you mean 'Rotate'"),
        ({"limit": 3}, "unknown albumentations transform 'None'"),
        ({"type": "Rotate", "limt": 3}, r"argument of albumentations' Rotate 'limt'. .*'limit'"),
        ({"type": "Rotate", "limit": "far"}, r"(?s)Rotate with .*should be a valid number"),
        ({"type": "Rotate", "mask_interpolation": 1}, "anything else makes up distances"),
        ({"type": "Rotate", "fill_mask": 255}, "anything else makes up distances"),
        ({"type": "OneOf", "transforms": [{"type": "Flop"}]}, "transform 'Flop'"),
    ],
)
def test_configs_that_are_wrong(config, message):
    with pytest.raises(InputError, match=message):
        Albumentations([config])


def test_image_too_small__is_named():
    with pytest.raises(InputError, match=r"the image a.jpg of 30x20 pixels .*Crop size"):
        apply(Albumentations([RANDOM_CROP]), **scene(20, 30))


def test_masks__are_not_left_behind():
    with pytest.raises(InputError, match="would leave gt_seg_map behind"):
        Albumentations([FLIP])(scene(20, 30) | {"seg_fields": ["gt_depth_map", "gt_seg_map"]})


def published_color_aug(image, prob, gamma_range, brightness_range, color_range):
    """The order of draws and operations of the published ColorAug, then Normalize's float32."""
    if np.random.rand() < prob:  # noqa: NPY002
        gamma = np.random.uniform(min(gamma_range), max(gamma_range))  # noqa: NPY002
        brightness = np.random.uniform(min(brightness_range), max(brightness_range))  # noqa: NPY002
        colors = np.random.uniform(min(color_range), max(color_range), size=3)  # noqa: NPY002
        factors = np.broadcast_to(colors, image.shape)
        image = np.clip(image**gamma * brightness * factors, 0, 255)
    return image.astype(np.float32)


@pytest.mark.parametrize("brightness", [(0.75, 1.25), (0.9, 1.1)])
def test_color_aug__equals_the_published_one_draw_by_draw(brightness):
    image = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    augment = ColorAug(prob=0.5, gamma=(0.9, 1.1), brightness=brightness, color=(0.9, 1.1))
    kept = 0
    for number in range(200):
        seed(number)
        expected = published_color_aug(image, 0.5, [0.9, 1.1], brightness, [0.9, 1.1])
        seed(number)
        found = augment({"img": image})["img"]
        assert np.array_equal(found, expected)
        kept += found.dtype == np.uint8
    assert 70 < kept < 130


def test_color_aug__by_hand():
    image = np.array([[[128, 0, 255]]], dtype=np.uint8)
    augment = ColorAug(prob=1, gamma=(0.9, 0.9), brightness=(1.1, 1.1), color=(1, 1))
    found = augment({"img": image})["img"]
    np.testing.assert_allclose(found, [[[128**0.9 * 1.1, 0, 255**0.9 * 1.1]]], rtol=1e-6)
    bright = ColorAug(prob=1, gamma=(1, 1), brightness=(2, 2), color=(1, 1))({"img": image})["img"]
    assert bright.tolist() == [[[255, 0, 255]]]


@pytest.mark.parametrize("given", [{"prob": 2}, {"gamma": (1.1, 0.9)}, {"color": (0, 1)}])
def test_color_aug__arguments_that_make_no_sense(given):
    with pytest.raises(InputError, match=f"ColorAug expects {next(iter(given))}"):
        ColorAug(**given)


def test_kb_crop__is_the_bottom_centre():
    given = scene(375, 1242)
    results = apply(KBCrop(), **given)
    assert np.array_equal(results["img"], given["img"][23:, 13:1229])
    assert np.array_equal(results["gt_depth_map"], given["gt_depth_map"][23:, 13:1229])
    assert results["img_shape"] == results["ori_shape"] == results["img"].shape[:2] == (352, 1216)


def test_kb_crop__smaller_image():
    with pytest.raises(InputError, match=r"keeps 1216x352 .* a.jpg has only 640x480"):
        apply(KBCrop())
