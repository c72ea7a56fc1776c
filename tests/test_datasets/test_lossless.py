import io

import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets.lossless import check_lossless
from ttr_backbones.errors import InputError


def saved(kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("JPEG", {}, "JPEG"),
        ("WEBP", {}, "lossy WebP"),
        ("TIFF", {"compression": "jpeg"}, "JPEG-compressed TIFF"),
        ("AVIF", {}, "AVIF"),
        ("JPEG2000", {}, "JPEG 2000"),
    ],
)
def test_lossy__is_refused(kind, options, name):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    with pytest.raises(InputError, match=rf"the mask m\.png is a {name} file.*as PNG"):
        check_lossless(saved(kind, **options), "m.png", "mask")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless__passes(kind, options):
    check_lossless(saved(kind, **options), "m.png", "mask")
