import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets.decoding import decode
from ttr_backbones.errors import InputError
from ttr_backbones.file_damage import bad_marker, damage


def photograph(side=256):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)


def jpeg(image=None, **options):
    file = io.BytesIO()
    Image.fromarray(photograph() if image is None else image).save(file, "JPEG", **options)
    return file.getvalue()


def png():
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, "PNG")
    return file.getvalue()


THUMBNAIL = b"\xff\xe1" + (2 + 6 + len(jpeg(np.zeros((8, 8, 3), np.uint8)))).to_bytes(2, "big")
THUMBNAIL += b"Exif\0\0" + jpeg(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        jpeg(),
        jpeg(progressive=True),
        jpeg(restart_marker_blocks=4),
        jpeg(photograph()[..., 0]),
        jpeg(np.zeros((640, 640, 3), np.uint8), optimize=True),  # its coded data are zeros
        jpeg(np.zeros((640, 640, 3), np.uint8)),
        jpeg()[:2] + THUMBNAIL + jpeg()[2:],
        jpeg() + b"a maker's trailer\0\0\0\0",
        jpeg()[:-2] + bytes(8) + b"\xff\xd9",  # padded, as some cameras do
        jpeg()[:2] + b"\xff\xff" + jpeg()[2:],
        png(),
        png() + bytes(100),
    ],
)
def test_whole_files__are_decoded(content):
    assert damage(content) is None
    assert bad_marker(content) is None
    assert decode(content, "a", "image", "color", "cv2").ndim == 3


def damaged():
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, 3000, dtype=np.uint8).tobytes()
    for name, content in {
        "jpeg": jpeg(),
        "progressive": jpeg(progressive=True),
        "png": png(),
    }.items():
        half = len(content) // 2
        yield f"{name} cut", content[:half]
        yield f"{name} without an end", content[: -12 if name == "png" else -2]
        yield f"{name} that ends in zeros", content[:half] + bytes(len(content) - half)
        yield f"{name} with noise", content[:half] + noise + content[half + 3000 :]
        yield f"{name} with little noise", content[:half] + noise[:64] + content[half + 64 :]
        yield f"{name} that lost a piece", content[:half] + content[half + 2000 :]
    half = len(jpeg()) // 2
    yield "a page of zeros", jpeg()[:half] + bytes(1024) + jpeg()[half + 1024 :]
    yield "cut behind its thumbnail", (jpeg()[:2] + THUMBNAIL + jpeg()[2:])[:2500]
    yield "cut before the coded data", jpeg()[:100]
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, "WEBP")
    yield "webp that ends in zeros", file.getvalue()[:-400] + bytes(400)


@pytest.mark.parametrize("content", [pytest.param(c, id=name) for name, c in damaged()])
def test_damage__is_refused_by_name(content, capfd):
    with pytest.raises(InputError, match=r"the image some\.file .*cannot be decoded"):
        decode(content, "some.file", "image", "color", "cv2")
    assert "Corrupt JPEG" not in capfd.readouterr().err


def test_marker__that_no_encoder_writes_within_the_coded_data():
    content = jpeg()
    half = len(content) // 2
    assert "within the coded image" in bad_marker(content[:half] + b"\xff\x17" + content[half:])
    assert "ends within" in bad_marker(content[:half])
