"""The `repair` of a config: which one, from which neurons, and what is done with them."""

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

TYPES = {
    "test_time": ("neurons", "num", "peak", "keep_cls", "fill", "scale", "positions"),
    "bias": ("artifact",),
}
"""The repairs and their options.

`test_time`: further tokens (`add_test_time_registers`, whose arguments the options are); `neurons`
is one of "auto" (the list that ships for the model), a JSON path, {block: [unit, ...]} and
`RegisterNeurons`.
`bias`: their keys and values as constants (`add_bias_registers`); `artifact` is one of "auto"
(those that ship for the model, the default), the path of a file that `ttrb bake` wrote and
`BakedRegisters`.
"""


def repair_options(model: str, repair: Any, *, frozen: bool = True) -> dict[str, Any] | None:
    """Check the options of `TYPES`, and return them for `add_repair` with everything looked up.

    Args:
        model: the tagged timm name that the list or the constants have to belong to.
        repair: the config's dict; None means the model as it is. An option that is None counts as
            not given, so that a command line can take one out of a config.
        frozen: whether the model's parameters stay as they are.

    Raises:
        MissingFileError: no such file.
        InputError: no `type`, an option that does not exist or belongs to the other type, no
            `neurons`, a list or constants that cannot be had, or the bias form for a model that is
            trained.
    """
    if repair is None:
        return None
    if not isinstance(repair, Mapping):
        given = "auto" if isinstance(repair, bool) else repair
        raise InputError(
            f"repair={repair!r}: expected None or a dict, as in repair=dict(type='test_time', "
            f"neurons={given if isinstance(given, str | list) else 'auto'!r})"
        )
    repair = {option: value for option, value in repair.items() if value is not None}
    kind = _type(repair)
    for option in repair:
        if option not in ("type", *TYPES[kind]):
            raise InputError(_why_not(option, kind, model))
    if kind == "bias" and not frozen:
        raise InputError(
            "repair=dict(type='bias') zeroes weights of the model, and frozen=False trains them: "
            "use frozen=True, or type='test_time', which leaves the weights alone"
        )
    found = look_up(model, repair)
    listed = found.neurons if isinstance(found, BakedRegisters) else found
    if "doubt" in listed.provenance:
        told = f"The register neurons of {listed.model}: {listed.provenance['doubt']}"
        print_log(told, logger="current", level=logging.WARNING)
    return {**repair, "artifact" if kind == "bias" else "neurons": found}


def refuse_registers(registers: Any) -> None:
    """Refuse the option that `repair` has replaced, and say what to write.

    Raises:
        InputError: it is given.
    """
    if registers is None:
        return
    words = dict(registers) if isinstance(registers, Mapping) else {"neurons": "auto"}
    if words.pop("form", "token") == "bias":
        words = {"type": "bias", "artifact": words.get("baked") or "auto"}
    else:
        words = {"type": "test_time", **words}
    listed = ", ".join(f"{option}={value!r}" for option, value in words.items())
    raise InputError(f"registers={registers!r} is now repair=dict({listed}): write that")


def look_up(model: str, repair: Mapping[str, Any]) -> RegisterNeurons | BakedRegisters:
    """Return the list or, for the bias form, the constants that the options name.

    Raises:
        MissingFileError: no such file.
        InputError: no `type`, no `neurons`, or something that cannot be had or read.
    """
    if _type(repair) == "bias":
        return BakedRegisters.named(repair.get("artifact") or "auto", model)
    if repair.get("neurons") is None:
        raise InputError(
            "repair=dict(type='test_time') needs `neurons`: 'auto', a JSON path, {block: [unit, "
            "...]}, RegisterNeurons"
        )
    return RegisterNeurons.named(repair["neurons"], model)


def is_auto(repair: Mapping[str, Any]) -> bool:
    """Whether the options leave it to what ships for the model."""
    if repair.get("type") == "bias":
        return repair.get("artifact") in (None, "auto")
    return bool(repair.get("neurons") == "auto")


def add_repair(vit: VisionTransformer, options: Mapping[str, Any]) -> None:
    """Repair `vit` as the options say that `repair_options` looked up.

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
    if options["type"] == "bias":
        add_bias_registers(vit, options["artifact"])
    else:
        add_test_time_registers(vit, **{k: v for k, v in options.items() if k != "type"})


def _type(repair: Mapping[str, Any]) -> str:
    kind = repair.get("type")
    if kind is None:
        raise InputError(f"repair needs `type`, one of {', '.join(map(repr, TYPES))}")
    if kind not in TYPES:
        raise InputError(unknown_name("type of repair", str(kind), TYPES))
    return str(kind)


def _why_not(option: str, kind: str, model: str) -> str:
    if kind == "bias" and option in TYPES["test_time"]:
        return (
            f"repair: {option!r} is an option of type='test_time'. With type='bias' it was fixed "
            f"when the constants were made: `ttrb bake {model} --images DIR --out FILE.safetensors`"
            " makes others (--neurons, --num, --peak), to be given as artifact='FILE.safetensors'. "
            f"{option}=None takes the option out"
        )
    if kind == "test_time" and option in TYPES["bias"]:
        return f"repair: {option!r} goes with type='bias': set that, or leave it out"
    return unknown_name("option of repair", option, ("type", *TYPES[kind]))
