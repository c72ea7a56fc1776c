import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets import TorchvisionTransforms
from ttr_backbones.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def transformed(*steps):
    return TorchvisionTransforms(list(steps)).transform({"img": IMAGE.copy()})


def test_resize_and_crop__are_pillows():
    resize = {"type": "Resize", "size": 32, "interpolation": "bicubic"}
    found = transformed(resize, {"type": "CenterCrop", "size": 24})
    rgb = Image.fromarray(IMAGE[..., ::-1]).resize((48, 32), Image.Resampling.BICUBIC)
    expected = np.asarray(rgb.crop((12, 4, 36, 28)))[..., ::-1]
    assert np.array_equal(found["img"], expected)
    assert found["img_shape"] == (24, 24)


def test_draws__follow_numpys_seed():
    step = {"type": "RandomResizedCrop", "size": 16, "interpolation": "bicubic"}

    def drawn(seed):
        np.random.seed(seed)  # noqa: NPY002, TID251 -- as SeedSample does
        return transformed(step)["img"]

    assert np.array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


def test_mistakes():
    with pytest.raises(InputError, match=r"unknown torchvision transform 'Resise'.*'Resize'"):
        transformed({"type": "Resise", "size": 4})
    with pytest.raises(InputError, match="unknown interpolation 'cubic'"):
        transformed({"type": "Resize", "size": 4, "interpolation": "cubic"})
    with pytest.raises(InputError, match=r"torchvision's Resize with .*sides"):
        transformed({"type": "Resize", "sides": 4})
