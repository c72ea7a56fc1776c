"""The `registers` of a config: which list of neurons, and what is done with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from timm.models.vision_transformer import VisionTransformer

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers

_OPTIONS = ("neurons", "num", "peak", "keep_cls", "fill", "scale", "positions")


def add_registers(vit: VisionTransformer, options: Mapping[str, Any]) -> None:
    """Give `vit` the registers that `register_options` looked up."""
    add_test_time_registers(vit, **options)


def register_options(
    model: str, registers: Mapping[str, Any] | None, *, frozen: bool = True
) -> dict[str, Any] | None:
    """Return the arguments for `add_test_time_registers`, the list of neurons looked up.

    Args:
        model: the tagged timm name that the list has to belong to.
        registers: the config's dict; None means no registers.
        frozen: whether the model's parameters stay as they are.

    Raises:
        InputError: an option that does not exist, no `neurons`, or a list that cannot be had.
    """
    del frozen  # the token form changes no parameter
    if registers is None:
        return None
    for option in registers:
        if option not in _OPTIONS:
            raise InputError(unknown_name("option of registers", option, _OPTIONS))
    neurons = registers.get("neurons")
    if neurons is None:
        raise InputError(
            "registers needs `neurons`: 'auto', a JSON path, {block: [unit, ...]}, RegisterNeurons"
        )
    if neurons == "auto":
        neurons = RegisterNeurons.bundled(model)
    elif isinstance(neurons, str | Path):
        neurons = RegisterNeurons.load(neurons)
    if isinstance(neurons, RegisterNeurons) and "doubt" in neurons.provenance:
        told = f"The register neurons of {neurons.model}: {neurons.provenance['doubt']}"
        print_log(told, logger="current", level=logging.WARNING)
    return {**registers, "neurons": neurons}
