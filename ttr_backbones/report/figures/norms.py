"""Patch norms as maps: after the block where outliers stand out, and after block upon block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttr_backbones.report.figures.maps import Maps, photographs_in_pairs, titles
from ttr_backbones.report.inspection import Inspection

_MOST_BLOCKS = 12


def norm_maps(inspections: Sequence[Inspection], block: int) -> Maps:
    """Patch norms after `block`, one column per kind of registers."""
    headings = [
        f"{name}\nlargest norm {inspection.norms[block].max():.0f}"
        for name, inspection in zip(titles(inspections), inspections, strict=True)
    ]
    return Maps(
        headings,
        [inspection.norms[block].numpy() for inspection in inspections],
        f"L2 norm of the patches after block {block} (log scale)",
        "viridis",
        log_scale(inspections, [block]),
    )


def draw_norms_per_block(
    inspections: Sequence[Inspection], images: NDArray[np.uint8], block: int, *, title: str
) -> Figure:
    """Draw one row per image and kind of registers, one column per block.

    A deep model's blocks are drawn at even steps, with the first, the last and `block` among them.
    """
    depth = len(inspections[0].norms)
    steps = np.linspace(0, depth - 1, min(depth, _MOST_BLOCKS)).round().astype(int).tolist()
    blocks = sorted({*steps, block})
    return photographs_in_pairs(
        inspections,
        images,
        [inspection.norms[blocks].movedim(0, 1).numpy() for inspection in inspections],
        names=[f"block {b}" for b in blocks],
        label="L2 norm of the patches after the block (log scale)",
        cmap="viridis",
        norm=log_scale(inspections, blocks),
        title=title,
    )


def log_scale(inspections: Sequence[Inspection], blocks: Sequence[int]) -> LogNorm:
    """From the smallest to the largest patch norm after `blocks`, before and after."""
    norms = [inspection.norms[list(blocks)] for inspection in inspections]
    low, high = min(n.min().item() for n in norms), max(n.max().item() for n in norms)
    low = max(low, 1e-6)
    return LogNorm(low, max(high, 1.01 * low))
