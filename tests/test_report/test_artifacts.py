"""One picture of a real model, before and after, and every way the images can be wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ttr_backbones.report.artifacts import compare_artifacts

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def test_the_real_outliers_are_seen_before_and_gone_after(shared, tiny_weights, tmp_path):
    summary, path = compare_artifacts(
        TINY, shared / "data/photos", None, tmp_path, checkpoint=tiny_weights, num_images=2
    )
    before, after = (summary["registers"][kind] for kind in ("none", "test_time"))
    block = summary["block"]
    assert block >= 7, "outliers appear at block 7"
    assert before["outlier_fraction"] > 0.01
    assert after["outlier_fraction"] == 0
    assert before["largest_norm"][block] > 500
    assert after["largest_norm"][block] < 40
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 900
    assert picture.shape[1] > 1400
    colours = picture.astype(int) @ [1, 256, 256**2]
    assert len(np.unique(colours)) > 1000, "blank"


def test_bad_images_are_explained(tmp_path, tiny_weights):
    options = {"neurons": None, "out": tmp_path / "out", "checkpoint": tiny_weights}
    with pytest.raises(FileNotFoundError, match="no such folder"):
        compare_artifacts(TINY, tmp_path / "none", **options)
    with pytest.raises(ValueError, match="holds no image"):
        compare_artifacts(TINY, tmp_path, **options)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        compare_artifacts(TINY, tmp_path, **options)


def test_a_size_that_is_no_multiple_of_the_patch_is_explained(shared, tiny_weights, tmp_path):
    with pytest.raises(
        ValueError, match="size 225 is no multiple of the model's patch of 16 pixels"
    ):
        compare_artifacts(
            TINY, shared / "data/photos", None, tmp_path, checkpoint=tiny_weights, size=225
        )
