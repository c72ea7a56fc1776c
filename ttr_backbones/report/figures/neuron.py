"""Where register neurons fire, beside where the norms are high."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ttr_backbones.report.figures.maps import Maps, photographs_with_maps, titles
from ttr_backbones.report.figures.norms import norm_maps
from ttr_backbones.report.inspection import Inspection


def draw_neurons(
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    neurons: Sequence[tuple[int, int]],
    *,
    block: int,
    title: str,
) -> Figure:
    """Draw the norms after `block` and the activation of some (block, unit), per kind of registers.

    Args:
        inspections: one per kind, with these neurons' activations.
        images: RGB uint8 [B, H, W, 3].
        neurons: which of them.
        block: 0-based block.
        title: heading.
    """
    groups = [norm_maps(inspections, block)]
    for where, unit in neurons:
        maps = [inspection.activations[where, unit].numpy() for inspection in inspections]
        low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
        headings = [
            f"{name}\n{'before it is moved' if inspection.num_registers else 'as it fires'}"
            for name, inspection in zip(titles(inspections), inspections, strict=True)
        ]
        label = f"activation of neuron {unit} in block {where}"
        groups.append(Maps(headings, maps, label, "cividis", Normalize(low, max(high, low + 1e-6))))
    return photographs_with_maps(images, groups, title=title)
