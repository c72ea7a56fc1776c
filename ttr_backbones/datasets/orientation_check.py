"""Checks that annotations fit an image as it is read, rotated by its EXIF tag or not."""

from __future__ import annotations

from typing import Any

from ttr_backbones.datasets.exif import SIDES_SWAPPED
from ttr_backbones.errors import InputError


def check_upright(results: dict[str, Any], path: str, what: str) -> None:
    """Refuse a `what` (mask, boxes, ...) of an image that was turned without a change of its size.

    Where the sides were swapped, the size of the `what` tells on which of the two it was drawn.
    Otherwise nothing does, and a wrong guess spoils training in silence.

    Args:
        results: What `LoadImage` left; it notes the orientation that it applied.
        path: The file of the `what`.
        what: What lies on the image.

    Raises:
        InputError: It cannot be known whether the two belong together.
    """
    turned = results.get("exif_orientation")
    height, width = results.get("ori_shape", (0, 1))
    if turned is None or (turned in SIDES_SWAPPED and height != width):
        return
    raise InputError(
        f"the image {results['img_path']} is turned by its EXIF orientation {turned} when it is "
        f"read, and its {what} ({path}) is not; the same size does not tell whether they fit. If "
        f"the {what} was drawn on the pixels as they are stored, use LoadImage with "
        "color_type='color_ignore_orientation'; if on the turned image, save the image turned and "
        "without the tag (`exiftran -ai`, `jhead -autorot`)."
    )
