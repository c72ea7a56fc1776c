"""The one picture to look at: norms, attention and PCA of every photograph, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttr_backbones.report.figures.attention import mean_attention
from ttr_backbones.report.figures.maps import Maps, photographs_with_maps, titles
from ttr_backbones.report.figures.norms import norm_maps
from ttr_backbones.report.inspection import Inspection
from ttr_backbones.report.pca import PcaMaps


def draw_overview(
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    pca: PcaMaps,
    *,
    block: int,
    title: str,
) -> Figure:
    """Draw norms after `block`, mean CLS attention of the last inspected block, and PCA maps.

    Args:
        inspections: one per kind of registers, on B images.
        images: the images, RGB uint8 [B, H, W, 3].
        pca: their colours.
        block: 0-based block whose norms are drawn.
        title: heading.
    """
    groups = [norm_maps(inspections, block)]
    if inspections[0].attention:
        groups.append(mean_attention(inspections, max(inspections[0].attention)))
    groups.append(pca_columns(inspections, pca))
    return photographs_with_maps(images, groups, title=title)


def draw_pca(
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    pca: PcaMaps,
    *,
    title: str,
) -> Figure:
    """Draw the PCA maps by themselves."""
    return photographs_with_maps(images, [pca_columns(inspections, pca)], title=title)


def pca_columns(inspections: Sequence[Inspection], pca: PcaMaps) -> Maps:
    """One column of PCA maps per kind of registers."""
    what = "features" if pca.foreground is None else "foreground"
    return Maps(titles(inspections), pca.maps, f"PCA of the {what}: one basis for all maps")
