"""Drawn images are a data set that a config loads."""

import cv2

from ttr_backbones.bench.drawn_data import draw_ade20k


def test_draw_ade20k__images_and_masks_in_its_layout(tmp_path):
    draw_ade20k(tmp_path, count=2)
    images = sorted((tmp_path / "images" / "training").iterdir())
    masks = sorted((tmp_path / "annotations" / "training").iterdir())
    assert [file.name for file in images] == ["0000.jpg", "0001.jpg"]
    assert [file.stem for file in masks] == ["0000", "0001"]
    for file in images:
        assert cv2.imread(str(file)).shape == (512, 683, 3)
        assert 50_000 < file.stat().st_size < 250_000, "as a JPEG of ADE20K"
    mask = cv2.imread(str(masks[0]), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (512, 683)
    assert 20 < len(set(mask.flatten().tolist())) <= 151


def test_draw_ade20k__the_same_seed_draws_the_same(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        draw_ade20k(tmp_path / name, count=1, seed=seed)
    a, b, c = (
        (tmp_path / name / "images" / "training" / "0000.jpg").read_bytes() for name in "abc"
    )
    assert a == b != c
