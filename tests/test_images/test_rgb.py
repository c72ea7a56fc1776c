"""The reader of photographs and that of a config's test pipeline see the same pixels."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets.loading import LoadImage
from ttr_backbones.errors import InputError
from ttr_backbones.images.photos import UnusablePhotoError, read_rgb
from ttr_backbones.images.rgb import to_rgb
from ttr_backbones.inference.sources import image_sources

_DEEP = np.random.default_rng(0).integers(0, 2**16, (6, 8, 3)).astype(np.uint16)
_TURNED = Image.Exif()
_TURNED[0x112] = 6


def by_pipeline(file):
    return LoadImage().transform({"img_path": str(file)})["img"][..., ::-1]


@pytest.mark.parametrize("name", ["grey.png", "grey.tif", "grey.pgm", "colour.png", "colour.tif"])
def test_16_bits__are_scaled_to_8_by_both(tmp_path, name):
    deep = _DEEP[..., 0] if name.startswith("grey") else _DEEP
    cv2.imwrite(str(tmp_path / name), deep if deep.ndim == 2 else deep[..., ::-1])
    read = np.asarray(read_rgb(tmp_path / name)).astype(int)
    # OpenCV rounds the colours of a TIFF.
    assert np.abs(read - by_pipeline(tmp_path / name)).max() <= (name == "colour.tif")
    assert np.array_equal(read, np.stack([deep >> 8] * 3, -1) if deep.ndim == 2 else deep >> 8)


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_16_bits__upright_also_in_memory(tmp_path, name):
    Image.fromarray(_DEEP[..., 0]).save(tmp_path / name, exif=_TURNED)
    upright = by_pipeline(tmp_path / name)
    assert upright.shape == (8, 6, 3)
    assert np.array_equal(read_rgb(tmp_path / name), upright)
    # From a path Pillow maps a TIFF into memory, and leaves it unturned.
    with Image.open(io.BytesIO((tmp_path / name).read_bytes())) as image:
        assert np.array_equal(image_sources(image)[0], upright)


_DARK = _DEEP >> 4
_OPAQUE = np.dstack([_DARK, np.full_like(_DARK[..., 0], 2**16 - 1)])


@pytest.mark.parametrize(
    ("suffix", "dark"),
    [(".png", _DARK[..., 0]), (".tif", _DARK[..., 0]), (".pgm", _DARK[..., 0]), (".png", _OPAQUE)],
    ids=["png", "tif", "pgm", "png with alpha"],
)
def test_few_of_16_bits__are_refused_by_both(tmp_path, suffix, dark):
    cv2.imwrite(str(tmp_path / f"dark{suffix}"), dark)
    with pytest.raises(UnusablePhotoError, match=r"^16 bits .* no value above 15 of 255"):
        read_rgb(tmp_path / f"dark{suffix}")
    with pytest.raises(InputError, match="16 bits"):
        by_pipeline(tmp_path / f"dark{suffix}")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA"])
def test_8_bits__are_the_same_to_both(tmp_path, mode):
    image = Image.fromarray((_DEEP >> 8).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "i.png", exif=_TURNED)
    assert np.array_equal(read_rgb(tmp_path / "i.png"), by_pipeline(tmp_path / "i.png"))
    assert to_rgb(image).mode == "RGB"
