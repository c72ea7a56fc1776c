"""The `repair` of a config in the log of a run, and the option that it has replaced."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import repair_named
from ttr_backbones.repairs.from_config import DEFAULT, ConfiguredRepair, repair_options, repair_text


def resolve_repair(model: str, repair: Any, *, frozen: bool = True) -> ConfiguredRepair | None:
    """Look a config's `repair` up and log what is doubtful about it; see `repair_options`."""
    choice = repair_options(model, repair, frozen=frozen)
    _warn([] if choice is None else choice.doubts())
    return choice


def add_repair(vit: nn.Module, choice: ConfiguredRepair) -> None:
    """Repair `vit`, and log how it differs from what the repair was made for.

    Raises:
        InputError: see `apply_repair`.
    """
    _warn(choice.differences(vit))
    choice.apply(vit)


def refuse_registers(registers: Any) -> None:
    """Refuse the option that `repair` has replaced, and say what to write.

    Raises:
        InputError: it is given.
    """
    if registers is None:
        return
    words = dict(registers) if isinstance(registers, Mapping) else {"neurons": "auto"}
    form, baked = words.pop("form", "token"), words.pop("baked", None)
    words = {"type": DEFAULT, **words}
    if form != "token":
        words = {**repair_named(form).auto(), **({"artifact": baked} if baked else {})}
    raise InputError(f"registers={registers!r} is now {repair_text(words)}: write that")


def _warn(messages: list[str]) -> None:
    for message in messages:
        print_log(message, logger="current", level=logging.WARNING)
