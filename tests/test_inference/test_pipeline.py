"""Test pipelines on images alone: truth is not loaded, crops and resizes are told apart."""

import cv2
import numpy as np
import pytest

from ttr_backbones.datasets import KBCrop  # noqa: F401 -- registers the transforms
from ttr_backbones.errors import InputError
from ttr_backbones.inference.pipeline import ImagePipeline

LOAD, PACK = {"type": "LoadImage"}, {"type": "PackSegInputs"}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def file(image, tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    return tmp_path / "image.png"


def test_truth_is_left_out_and_a_resize_keeps_the_image(image, file):
    resize = {"type": "Resize", "scale": (30, 20), "keep_ratio": True}
    truth = [{"type": name} for name in ("LoadSegMask", "LoadDepth", "LoadBoxes")]
    pipeline = ImagePipeline([LOAD, truth[0], resize, *truth[1:], PACK])
    for source in (file, image):
        loaded = pipeline(source)
        np.testing.assert_array_equal(loaded.image, image)
        assert loaded.inputs.shape == (3, 20, 30)
        assert loaded.sample.ori_shape == (40, 60)
    inputs = ImagePipeline([LOAD, PACK])(file).inputs
    np.testing.assert_array_equal(inputs.numpy(), image[..., ::-1].transpose(2, 0, 1))  # BGR


def test_crop__makes_the_image_anew(image, file):
    loaded = ImagePipeline([LOAD, {"type": "KBCrop", "height": 30, "width": 50}, PACK])(file)
    np.testing.assert_array_equal(loaded.image, image[10:, 5:55])
    assert loaded.inputs.shape == (3, 30, 50)


@pytest.mark.parametrize("transforms", [[], [PACK], [LOAD], [{"type": "LoadSegMask"}, PACK]])
def test_incomplete_pipeline(transforms):
    with pytest.raises(InputError, match="expected it to begin with LoadImage and to end with"):
        ImagePipeline(transforms)
