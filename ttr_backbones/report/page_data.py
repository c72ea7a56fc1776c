"""What the HTML report draws, as small JSON: maps as bytes on a logarithmic scale, and JPEGs."""

from __future__ import annotations

import base64
import io
import math
import zlib
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ttr_backbones.report.columns import column_caption
from ttr_backbones.report.inspection import Inspection

STEPS = 255
RANGE = 1e4  # values below the largest / RANGE are stored as that: no colour tells them apart
_PHOTO_SIDE = 480  # pixels: about 40 kB each


def page_data(
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    names: Sequence[str],
    summary: dict[str, Any],
    pca: Sequence[NDArray[np.uint8]],
) -> dict[str, Any]:
    """Gather what `page.js` reads.

    Args:
        inspections: of one model on the same B images, one per kind of registers.
        images: RGB [B, H, W, 3].
        names: of the images.
        summary: from `summarize`.
        pca: RGB maps [B, h, w, 3], one per kind of registers.

    Returns:
        Plain data. `norms` and each of `attention` hold `low`, `high` and `maps`, one string per
        kind of registers: uint8 q of the value low * (high / low) ** (q / 255), in the order
        [L, B, h, w] of the norms and [B, 1 + H, h, w] of the attention, the heads' mean first.
        Arrays are deflated (zlib) and in base64.
    """
    norms = [inspection.norms for inspection in inspections]
    numbers = [summary["registers"][inspection.registers] for inspection in inspections]
    return {
        "kinds": [
            {"key": inspection.registers, "label": column_label(inspection)}
            for inspection in inspections
        ],
        "names": list(names),
        "photos": [jpeg(image) for image in images],
        "aspect": images.shape[2] / images.shape[1],
        "grid": list(inspections[0].grid),
        "block": summary["block"],
        "threshold": summary["threshold"],
        "outliers": [of_kind["outliers_per_image"] for of_kind in numbers],
        "largest": [values.amax(dim=(2, 3)).tolist() for values in norms],
        "median": [values.flatten(2).median(dim=2).values.tolist() for values in norms],
        "norms": quantize(norms),
        "attention": [
            {
                "block": block,
                "heads": inspections[0].attention[block].shape[1],
                **quantize([_with_mean(inspection.attention[block]) for inspection in inspections]),
            }
            for block in sorted(inspections[0].attention)
        ],
        "pca": [packed(maps) for maps in pca],
        "colours": {"norm": colour_table("viridis"), "attention": colour_table("magma")},
    }


def column_label(inspection: Inspection) -> str:
    """Name what the model has in a few words."""
    return column_caption(inspection.registers, inspection.num_registers)


def quantize(maps: Sequence[Tensor], *, seen: Tensor | None = None) -> dict[str, Any]:
    """Store maps as bytes on their one common logarithmic scale.

    Args:
        maps: finite, of any shape.
        seen: cells of the maps that a model sees, bool, to be broadcast to them. Byte 0 then stands
            for the others, and the scale begins at the smallest value above 0.
    """
    high = max(*(float(tensor.max()) for tensor in maps), 1e-9)
    bottom = maps if seen is None else [tensor[tensor > 0] for tensor in maps]
    low = max(min((float(t.min()) for t in bottom if t.numel()), default=high), high / RANGE)
    high = max(high, 1.01 * low)  # a constant map has a scale too
    first = 0 if seen is None else 1
    factor = (STEPS - first) / math.log(high / low)
    stored = []
    for tensor in maps:
        steps = ((tensor.double().clamp(low, high) / low).log() * factor).round() + first
        shown = steps if seen is None else torch.where(seen, steps, 0)
        stored.append(packed(shown.byte().numpy()))
    return {"low": low, "high": high, "maps": stored}


def _with_mean(weights: Tensor) -> Tensor:
    return torch.cat([weights.mean(dim=1, keepdim=True), weights], dim=1)


def packed(array: NDArray[np.uint8]) -> str:
    """Bytes, deflated and in base64."""
    return _base64(zlib.compress(array.tobytes(), 9))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def colour_table(name: str) -> str:
    """256 RGB colours of a perceptual colour map."""
    return packed(mpl.colormaps[name](np.arange(STEPS + 1), bytes=True)[:, :3])


def jpeg(image: NDArray[np.uint8]) -> str:
    """RGB [H, W, 3] as a data URL."""
    picture = Image.fromarray(image)
    picture.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{_base64(file.getvalue())}"
