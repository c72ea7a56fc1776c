"""The `registers` of a config: in which form, from which neurons, and what is done with them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from timm.models.vision_transformer import VisionTransformer

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.neuron_search.provenance import weight_differences
from ttr_backbones.registers import (
    BakedRegisters,
    RegisterNeurons,
    add_bias_registers,
    add_test_time_registers,
)

FORMS = {
    "token": ("neurons", "num", "peak", "keep_cls", "fill", "scale", "positions"),
    "bias": ("baked",),
}
"""The forms of registers and their options; "token" is the default.

`token`: further tokens (`add_test_time_registers`, whose arguments the options are); `neurons` is
one of "auto" (the list that ships for the model), a JSON path, {block: [unit, ...]} and
`RegisterNeurons`.
`bias`: their keys and values as constants (`add_bias_registers`); `baked` is one of "auto" (those
that ship for the model, the default), the path of a file that `ttrb bake` wrote and
`BakedRegisters`.
"""


def register_options(model: str, registers: Any, *, frozen: bool = True) -> dict[str, Any] | None:
    """Check the options of `FORMS`, and return them for `add_registers` with everything looked up.

    Args:
        model: the tagged timm name that the list or the constants have to belong to.
        registers: the config's dict; None means no registers. An option that is None counts as not
            given, so that a command line can take one out of a config.
        frozen: whether the model's parameters stay as they are.

    Raises:
        MissingFileError: no such file.
        InputError: an option that does not exist or belongs to the other form, no `neurons`, a
            list or constants that cannot be had, or the bias form for a model that is trained.
    """
    if registers is None:
        return None
    if not isinstance(registers, Mapping):
        given = "auto" if isinstance(registers, bool) else registers
        raise InputError(
            f"registers={registers!r}: expected None or a dict, as in registers=dict(neurons="
            f"{given if isinstance(given, str | list) else 'auto'!r})"
        )
    registers = {option: value for option, value in registers.items() if value is not None}
    form = registers.get("form", "token")
    if form not in FORMS:
        raise InputError(unknown_name("form of registers", str(form), FORMS))
    for option in registers:
        if option not in ("form", *FORMS[form]):
            raise InputError(_why_not(option, form, model))
    if form == "bias" and not frozen:
        raise InputError(
            "registers=dict(form='bias') zeroes weights of the model, and frozen=False trains "
            "them: use frozen=True, or form='token', which leaves the weights alone"
        )
    found = look_up(model, registers)
    listed = found.neurons if isinstance(found, BakedRegisters) else found
    if "doubt" in listed.provenance:
        told = f"The register neurons of {listed.model}: {listed.provenance['doubt']}"
        print_log(told, logger="current", level=logging.WARNING)
    return {**registers, "baked" if form == "bias" else "neurons": found}


def look_up(model: str, registers: Mapping[str, Any]) -> RegisterNeurons | BakedRegisters:
    """Return the list or, for the bias form, the constants that the options name.

    Raises:
        MissingFileError: no such file.
        InputError: no `neurons`, or something that cannot be had or read.
    """
    if registers.get("form") == "bias":
        return BakedRegisters.named(registers.get("baked") or "auto", model)
    if registers.get("neurons") is None:
        raise InputError(
            "registers needs `neurons`: 'auto', a JSON path, {block: [unit, ...]}, RegisterNeurons"
        )
    return RegisterNeurons.named(registers["neurons"], model)


def is_auto(registers: Mapping[str, Any]) -> bool:
    """Whether the options leave it to what ships for the model."""
    if registers.get("form") == "bias":
        return registers.get("baked") in (None, "auto")
    return bool(registers.get("neurons") == "auto")


def add_registers(vit: VisionTransformer, options: Mapping[str, Any]) -> None:
    """Give `vit` the registers that `register_options` looked up.

    Raises:
        InputError: see `add_test_time_registers` and `add_bias_registers`.
    """
    listed = options.get("neurons")
    if isinstance(listed, RegisterNeurons):
        for difference in weight_differences(listed, vit):
            print_log(
                f"The register neurons of {listed.model}: {difference}",
                logger="current",
                level=logging.WARNING,
            )
    if options.get("form") == "bias":
        add_bias_registers(vit, options["baked"])
    else:
        add_test_time_registers(vit, **{k: v for k, v in options.items() if k != "form"})


def _why_not(option: str, form: str, model: str) -> str:
    if form == "bias" and option in FORMS["token"]:
        return (
            f"registers: {option!r} is an option of form='token'. With form='bias' it was fixed "
            f"when the constants were made: `ttrb bake {model} --images DIR --out FILE.safetensors`"
            " makes others (--neurons, --num, --peak), to be given as baked='FILE.safetensors'. "
            f"{option}=None takes the option out"
        )
    if form == "token" and option in FORMS["bias"]:
        return f"registers: {option!r} goes with form='bias': add that, or leave it out"
    return unknown_name("option of registers", option, ("form", *FORMS[form]))
