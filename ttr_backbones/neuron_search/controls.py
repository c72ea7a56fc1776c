"""Controls for "is it the register neurons?" (arXiv 2506.08010, section 3.2 and A.3).

The other control, clearing the register neurons without giving them a register, is
`add_test_time_registers(vit, neurons, num=0)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.neurons import RegisterNeurons, mlp_width


def random_neurons(
    vit: nn.Module, neurons: RegisterNeurons, generator: torch.Generator
) -> RegisterNeurons:
    """Draw as many neurons per block as `neurons` has there, none of them in `neurons`.

    Raises:
        InputError: a block has too few other units.
    """
    neurons.check(vit)
    layers = {}
    for block, units in neurons.layers.items():
        others = [unit for unit in range(mlp_width(vit, block)) if unit not in set(units)]
        if len(others) < len(units):
            raise InputError(
                f"block {block} has {len(others)} units beside the {len(units)} listed ones: "
                "expected at least as many, to draw the random control from"
            )
        drawn = torch.randperm(len(others), generator=generator)[: len(units)]
        layers[block] = [others[i] for i in drawn.tolist()]
    return RegisterNeurons(
        neurons.model, layers, {"selection": "random control: same count per block, others only"}
    )


def cleared_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `add_test_time_registers` that clear where `options` would move.

    What is said of the tokens that receive (scale, positions) is left out, for there are none.
    """
    kept = {name: options[name] for name in ("keep_cls", "fill") if name in options}
    return {**kept, "num": 0}
