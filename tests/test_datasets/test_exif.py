import io

import cv2
import numpy as np
import pytest
from packaging.version import Version
from PIL import Image

from ttr_backbones.datasets.exif import orientation


def saved(kind, turned, order=None):
    image = np.zeros((40, 60, 3), np.uint8)
    image[:10, :15] = 255
    exif = Image.Exif()
    if turned is not None:
        exif[0x10F], exif[0x112] = "a maker", turned
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turned", [None, 1, 2, 3, 4, 5, 6, 7, 8])
def test_orientation__is_what_opencv_applies(kind, turned):
    if kind == "WEBP" and Version(cv2.__version__) < Version("4.13"):
        pytest.skip("OpenCV before 4.13 turns no WebP")
    content = saved(kind, turned)
    assert orientation(content) == (turned or 1)
    read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert (read.shape[:2] == (60, 40)) == (orientation(content) >= 5)


def test_orientation__of_a_broken_directory_is_upright():
    content = saved("JPEG", 3)
    at = content.index(b"Exif\0\0") + 6
    assert orientation(content[: at + 4] + b"\xff\xff\xff\xff" + content[at + 8 :]) == 1
    assert orientation(content[: at + 8]) == 1
    assert orientation(b"") == 1
