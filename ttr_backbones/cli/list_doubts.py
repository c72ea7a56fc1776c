"""The doubts about a list of register neurons, repeated wherever it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttr_backbones.app.messages import warn

if TYPE_CHECKING:
    from torch import nn

    from ttr_backbones.registers import RegisterNeurons


def warn_of_doubts(neurons: RegisterNeurons, vit: nn.Module, size: int) -> None:
    """Print the list's own doubts, and how this run differs from the one it was found in.

    Args:
        neurons: the list, checked to be of this model.
        vit: the model.
        size: longer side of the images.
    """
    from ttr_backbones.neuron_search.provenance import differences

    if doubt := neurons.provenance.get("doubt"):
        warn(f"the register neurons of {neurons.model}: {doubt}")
    for difference in differences(neurons, vit, size):
        warn(difference)
