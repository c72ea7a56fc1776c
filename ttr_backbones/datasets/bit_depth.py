"""Images of more than 8 bits per channel, which are read as 8."""

from __future__ import annotations

import mmcv
import numpy as np

from ttr_backbones.errors import InputError
from ttr_backbones.images.rgb import has_16_bits


def check_bits(content: bytes, path: str) -> None:
    """Refuse an image of 10 to 14 bits per channel in a 16-bit file: it would be read as dark.

    Raises:
        InputError: no value of a 16-bit file reaches a quarter of the range.
    """
    if not has_16_bits(content):
        return
    values = mmcv.imfrombytes(content, flag="unchanged", backend="cv2")
    if values is None or values.dtype != np.uint16:
        return
    # Alpha, the fourth channel, is dropped, and is full where the colours are dark.
    largest = int((values if values.ndim == 2 else values[..., :3]).max())
    if 0 < largest < 2**14:
        raise InputError(
            f"the image {path} has 16 bits per channel, but no value above {largest}, which is "
            f"{largest // 257} of 255: expected the full range, for it would be read as nearly "
            f"black. If the camera gave {max(largest.bit_length(), 10)} bits, scale the values to "
            "16, or save 8 bits per channel."
        )
