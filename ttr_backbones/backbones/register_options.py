"""The `registers` of a config: which list of neurons, and what is done with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.registers import RegisterNeurons

_OPTIONS = ("neurons", "num", "peak", "keep_cls", "fill", "scale", "positions")


def register_options(model: str, registers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the arguments for `add_test_time_registers`, the list of neurons looked up.

    Args:
        model: the tagged timm name that the list has to belong to.
        registers: the config's dict; None means no registers.

    Raises:
        InputError: an option that does not exist, no `neurons`, or a list that cannot be had.
    """
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
