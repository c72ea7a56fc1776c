"""From masks of patches to boxes: the connected component that holds the seed, for many images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.ndimage

_FOUR_NEIGHBOURS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
_WITHIN_AN_IMAGE = np.stack([np.zeros((3, 3), int), _FOUR_NEIGHBOURS, np.zeros((3, 3), int)])


def seed_components(
    masks: npt.NDArray[np.bool_], seeds: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Keep of every mask the 4-connected component that holds its seed.

    All images are labelled in one call: the structure joins no two of them.

    Args:
        masks: [B, h, w], true at each seed.
        seeds: flat (row-major) index of the seed, [B].
    """
    labels, _ = scipy.ndimage.label(masks, structure=_WITHIN_AN_IMAGE)
    of_seed = np.take_along_axis(labels.reshape(len(masks), -1), seeds[:, None], axis=1)
    return labels == of_seed[:, :, None]


def boxes_around(
    masks: npt.NDArray[np.bool_], patch: tuple[int, int], image_size: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Return the smallest box around each mask in pixels, cut at the image's right and bottom.

    Args:
        masks: [B, h, w], none of them empty.
        patch: height and width of a patch in pixels.
        image_size: (H, W) of the image before it was padded right and at the bottom.

    Returns:
        x1, y1, x2, y2 per image, the right and bottom ends excluded, [B, 4].
    """
    left, right = _extent(masks, other_axis=1)
    top, bottom = _extent(masks, other_axis=2)
    height, width = image_size
    right = np.minimum(right * patch[1], width)
    bottom = np.minimum(bottom * patch[0], height)
    return np.stack([left * patch[1], top * patch[0], right, bottom], axis=1)


def _extent(
    masks: npt.NDArray[np.bool_], *, other_axis: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First row (or column) of each mask that has something in it, and one past its last."""
    used = np.asarray(masks.any(axis=other_axis))
    return used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
