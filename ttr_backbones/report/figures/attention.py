"""CLS attention of one block: the mean over the heads, and every head by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttr_backbones.report.figures.maps import (
    Maps,
    photographs_in_pairs,
    photographs_with_maps,
    relative,
    titles,
)
from ttr_backbones.report.inspection import Inspection


def mean_attention(inspections: Sequence[Inspection], block: int) -> Maps:
    """CLS attention in `block`, mean over heads, one column per kind of registers."""
    return Maps(
        titles(inspections),
        relative([inspection.attention[block].mean(dim=1) for inspection in inspections]),
        f"CLS attention in block {block}, mean over heads\n"
        "(1 = 98th percentile of the image's maps)",
        "magma",
        Normalize(0, 1),
    )


def draw_mean_attention(
    inspections: Sequence[Inspection], images: NDArray[np.uint8], block: int, *, title: str
) -> Figure:
    """Draw one row per image, RGB uint8 [B, H, W, 3], one column per kind of registers."""
    return photographs_with_maps(images, [mean_attention(inspections, block)], title=title)


def draw_heads(
    inspections: Sequence[Inspection], images: NDArray[np.uint8], block: int, *, title: str
) -> Figure:
    """Draw one row per image and kind of registers, one column per head."""
    scaled = relative(
        [inspection.attention[block] for inspection in inspections]
    )  # [B, H, h, w] each
    return photographs_in_pairs(
        inspections,
        images,
        scaled,
        names=[f"head {head}" for head in range(scaled[0].shape[1])],
        label=f"CLS attention in block {block}\n"
        "(1 = 98th percentile of a head's maps of the image)",
        cmap="magma",
        norm=Normalize(0, 1),
        title=title,
    )
