"""Every image is normalised by itself and keeps its size."""

import pytest
import torch

from ttr_backbones.object_discovery import EachSizePreProcessor


def test_images_are_normalised_one_by_one():
    images = [torch.full((3, 2, 5), 10, dtype=torch.uint8), torch.ones(3, 4, 1)]
    images[0][0] = 20  # blue
    data = EachSizePreProcessor([1.0, 2, 3], [1.0, 2, 4])({"inputs": images, "data_samples": [1]})
    assert [tuple(image.shape) for image in data["inputs"]] == [(3, 2, 5), (3, 4, 1)]
    assert data["inputs"][0][:, 0, 0].tolist() == [9, 4, 17 / 4]
    assert data["data_samples"] == [1]
    as_is = EachSizePreProcessor([1.0, 2, 3], [1.0, 2, 4], bgr_to_rgb=False)
    assert as_is({"inputs": images})["inputs"][0][:, 0, 0].tolist() == [19, 4, 7 / 4]


def test_what_is_no_image_is_explained():
    with pytest.raises(ValueError, match=r"expected an image \[3, H, W\], got \(1, 4, 4\)"):
        EachSizePreProcessor([0.0] * 3, [1.0] * 3)({"inputs": [torch.ones(1, 4, 4)]})
