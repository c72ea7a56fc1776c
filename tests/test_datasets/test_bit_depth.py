import cv2
import numpy as np
import pytest

from ttr_backbones.datasets.bit_depth import check_bits
from ttr_backbones.errors import InputError


def saved(suffix, largest, channels=3, dtype=np.uint16):
    image = np.full((8, 8, channels), largest, dtype)
    image[:4] //= 2
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_few_bits_in_16__are_refused(suffix, bits):
    with pytest.raises(InputError, match=rf"no value above {2**bits - 1}, .* gave {bits} bits"):
        check_bits(saved(suffix, 2**bits - 1), "i.png")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_full_range__passes(suffix):
    check_bits(saved(suffix, 2**16 - 1), "i.png")
    check_bits(saved(suffix, 2**8 - 1, dtype=np.uint8), "i.png")
    check_bits(saved(suffix, 20, dtype=np.uint8), "i.png")
    check_bits(saved(suffix, 0), "i.png")
