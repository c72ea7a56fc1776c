"""The synthetic scenes: reproducible, and image, mask, depth and boxes tell the same story."""

import json

import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets.scenes import (
    CLASSES,
    FAR_MM,
    LOWER,
    NEAR_MM,
    PALETTE,
    PLAIN_NOISE,
    THINGS,
    UPPER,
    make_scene,
    write_scenes,
)
from ttr_backbones.errors import InputError

BACKGROUND = len(UPPER) + len(LOWER)


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(3)
    return [make_scene(rng, 128) for _ in range(40)]


def test_same_generator_state_same_scene():
    one, two = (make_scene(np.random.default_rng(5), 96) for _ in range(2))
    for name in ("image", "mask", "depth", "boxes", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    other = make_scene(np.random.default_rng(6), 96)
    assert not np.array_equal(one.image, other.image)


def test_shapes_and_types(scenes):
    for scene in scenes:
        assert (scene.image.shape, scene.image.dtype) == ((128, 128, 3), np.uint8)
        assert (scene.mask.shape, scene.mask.dtype) == ((128, 128), np.uint8)
        assert (scene.depth.shape, scene.depth.dtype) == ((128, 128), np.uint16)
        assert scene.boxes.shape == (len(scene.labels), 4)
        assert scene.mask.max() < len(CLASSES)


def test_every_class_appears(scenes):
    seen = np.unique(np.concatenate([scene.mask.ravel() for scene in scenes]))
    assert seen.tolist() == list(range(len(CLASSES)))
    assert len(PALETTE) == len(CLASSES)


def test_boxes_are_tight_around_their_mask(scenes):
    assert sum(len(scene.boxes) for scene in scenes) > 40
    for scene in scenes:
        covered = np.zeros_like(scene.mask, dtype=bool)
        for (x1, y1, x2, y2), label in zip(scene.boxes, scene.labels, strict=True):
            ys, xs = np.nonzero(scene.mask[y1:y2, x1:x2] == label)
            assert (xs.min(), xs.max(), ys.min(), ys.max()) == (0, x2 - x1 - 1, 0, y2 - y1 - 1)
            assert CLASSES[label] in THINGS
            covered[y1:y2, x1:x2] = True
        assert (scene.mask[~covered] < BACKGROUND).all()


def test_depth_is_in_range_and_objects_stand_in_front(scenes):
    for scene in scenes:
        assert scene.depth.min() >= NEAR_MM
        assert scene.depth.max() <= FAR_MM
        for (x1, y1, x2, y2), label in zip(scene.boxes, scene.labels, strict=True):
            inside = scene.mask[y1:y2, x1:x2] == label
            depths = scene.depth[y1:y2, x1:x2]
            assert len(np.unique(depths[inside])) == 1
            if not inside.all():
                assert depths[inside].max() <= depths[~inside].min()


def test_background_is_plain_and_objects_are_not(scenes):
    for scene in scenes:
        for label in np.unique(scene.mask):
            spread = scene.image[scene.mask == label].std(axis=0).max()
            if label < BACKGROUND:
                assert spread < 2 * PLAIN_NOISE
            else:
                assert spread > 20


def test_written_layout_reads_back(tmp_path):
    write_scenes(tmp_path, num_train=3, num_val=2, size=64, seed=1)
    first = make_scene(np.random.default_rng([1, 0]), 64)
    for kind, expected in (
        ("images", first.image),
        ("annotations", first.mask),
        ("depth", first.depth),
    ):
        assert len(list((tmp_path / kind / "train").glob("*.png"))) == 3
        assert len(list((tmp_path / kind / "val").glob("*.png"))) == 2
        read = np.asarray(Image.open(tmp_path / kind / "train" / "0000.png"))
        np.testing.assert_array_equal(read, expected)
        assert read.dtype == expected.dtype
    boxes = json.loads((tmp_path / "boxes" / "train.json").read_text())
    assert [image["file_name"] for image in boxes["images"]] == ["0000.png", "0001.png", "0002.png"]
    own = [entry for entry in boxes["annotations"] if entry["image_id"] == boxes["images"][0]["id"]]
    corners = [(x, y, x + w, y + h) for x, y, w, h in (entry["bbox"] for entry in own)]
    np.testing.assert_array_equal(corners, first.boxes)
    assert [entry["category_id"] for entry in own] == first.labels.tolist()
    assert {entry["id"]: entry["name"] for entry in boxes["categories"]} == dict(enumerate(CLASSES))


def test_train_and_val_differ(tmp_path):
    write_scenes(tmp_path, num_train=1, num_val=1, size=64, seed=1)
    train, val = (tmp_path / "images" / split / "0000.png" for split in ("train", "val"))
    assert train.read_bytes() != val.read_bytes()


def test_too_small_a_scene_is_refused():
    with pytest.raises(InputError, match="at least 64 pixels a side, got size=32"):
        make_scene(np.random.default_rng(0), 32)


def test_an_empty_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="each split needs a scene, got num_train=1 and num_val=0"):
        write_scenes(tmp_path, num_train=1, num_val=0, size=64)
