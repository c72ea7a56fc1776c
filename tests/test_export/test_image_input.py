"""What is done to an image equals what the data_preprocessor does, and the rest is refused."""

import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from mmseg.models.data_preprocessor import SegDataPreProcessor

from ttr_backbones.errors import InputError
from ttr_backbones.export.image_input import ImageInput
from ttr_backbones.object_discovery.preprocessor import EachSizePreProcessor

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 55.0, 50.0]


@pytest.mark.parametrize(
    "options",
    [
        {"mean": MEAN, "std": STD, "bgr_to_rgb": True},
        {"mean": MEAN, "std": STD},
        {"bgr_to_rgb": True},
        {
            "mean": MEAN,
            "std": STD,
            "bgr_to_rgb": True,
            "pad_val": 3,
            "test_cfg": {"size_divisor": 32},
        },
    ],
)
def test_of__a_segmentor_s(options, random_images):
    image = random_images(2, 33, 50)
    own = SegDataPreProcessor(**options)
    samples = [BaseDataElement() for _ in image]
    expected = own({"inputs": list(image.flip(1)), "data_samples": samples})["inputs"]
    images = ImageInput.of(own)
    assert torch.equal(images(image), expected)
    assert images.padded((33, 50)) == tuple(expected.shape[2:])


@pytest.mark.parametrize("bgr_to_rgb", [True, False])
def test_of__an_object_discoverer_s(bgr_to_rgb, random_images):
    image = random_images(2, 33, 50)
    own = EachSizePreProcessor(MEAN, STD, bgr_to_rgb)
    expected = torch.stack(own({"inputs": list(image.flip(1))})["inputs"])
    assert torch.equal(ImageInput.of(own)(image), expected)


def test_of__another_kind():
    with pytest.raises(InputError, match="is a BaseDataPreprocessor: only what SegDataPre"):
        ImageInput.of(BaseDataPreprocessor())


def test_of__padding_to_one_size():
    own = SegDataPreProcessor(mean=MEAN, std=STD, test_cfg={"size": (64, 64)})
    with pytest.raises(InputError, match=r"pads images to \(64, 64\)"):
        ImageInput.of(own)
