"""What a search of register neurons found: printed, and as a picture beside the list."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from ttr_backbones.images.batches import ImageBatches
    from ttr_backbones.neuron_search.search import FoundNeurons


def draw_found_neurons(
    found: FoundNeurons, vit: nn.Module, images: ImageBatches, out: Path | None
) -> None:
    """Draw the search beside the list.

    Args:
        found: what it found.
        vit: the model, without registers.
        images: those of the search.
        out: the list; None draws nothing, and this process only shares in the work of all.
    """
    from ttr_backbones.report.search_picture import draw_search, norms_before_and_after

    norms = norms_before_and_after(vit, found, images)
    if out is not None:
        draw_search(found, norms, out.with_suffix(".png"))


def print_found_neurons(found: FoundNeurons, out: Path) -> None:
    """Print the neurons, the verdict and where the picture is."""
    for line in _verdict(found):
        print(textwrap.fill(line, 100))
    print(f"picture: {out.with_suffix('.png')}")


def _verdict(found: FoundNeurons) -> list[str]:
    from ttr_backbones.neuron_search.tune import TunedNeurons

    neurons = ", ".join(
        f"{block}:{unit}" for block, units in found.layers.items() for unit in units
    )
    lines = [f"{found.model}: block:unit {neurons}"]
    if isinstance(found, TunedNeurons):
        return [*lines, found.verdict]
    return [
        *lines,
        f"{found.num_outliers} outliers (norm above {found.threshold:.4g} after block "
        f"{found.detect_block}) in {found.num_images} images. Not tuned or measured: see `ttrb "
        "verify`.",
    ]
