"""Values of an image that are not finite are an error that names it: they would vote at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError


def check_finite_images(values: Tensor, samples: Sequence[Any], what: str) -> None:
    """Raise unless all values are finite; one wait for the device.

    Args:
        values: [B, ...].
        samples: one `ClassSample` per image.
        what: the values are, for the message.

    Raises:
        InputError: the first image with NaN or infinite values, and how many there are.
    """
    finite = values.isfinite().flatten(1).all(dim=1).tolist()
    bad = [number for number, fine in enumerate(finite) if not fine]
    if bad:
        path = samples[bad[0]].metainfo.get("img_path") or f"image {bad[0]} of the batch"
        raise InputError(
            f"the {what} of {path} are NaN or infinite ({len(bad)} of {len(finite)} images of this "
            "batch): expected finite ones. Check the weights and this image, and compute in "
            "float32 (float16 ends at 65504)."
        )
