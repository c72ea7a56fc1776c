"""The vision tower of a vision-language model's files, without its language model.

A search for register neurons needs the tower alone: of LLaVA's 14 GB it is 0.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from ttr_backbones.errors import InputError

_INNER = re.compile(r"(?:.*\.)?vision_tower\.(?=.)")
INDEX = "model.safetensors.index.json"


def inner_config(config: Mapping[str, Any], known: Collection[str]) -> dict[str, Any] | None:
    """The config of the tower inside a vision-language model; None where there is none.

    Args:
        config: of the whole.
        known: `model_type` of the towers that can be made.
    """
    inner, text = config.get("vision_config"), config.get("text_config")
    if not isinstance(inner, dict) or not isinstance(text, dict):
        return None
    return dict(inner) if inner.get("model_type") in known else None


def tower_files(index: Path) -> list[str]:
    """Names of the weight files that hold parts of a tower, by the checkpoint's index.

    Raises:
        InputError: the index is no JSON, or lists no part of one.
    """
    try:
        where: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({file for key, file in where.items() if _INNER.match(key)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index} is no index of safetensors: {error}") from error
    if not files:
        raise InputError(f"{index} lists no vision_tower: expected a vision-language model")
    return files


def tower_state(files: Iterable[Path], model: str) -> dict[str, Tensor]:
    """Read the tensors of the tower, their names as in a checkpoint of the tower alone.

    Raises:
        InputError: there are none.
    """
    state: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            for key in opened.keys():  # noqa: SIM118 -- not a mapping
                if _INNER.match(key):
                    state[_INNER.sub("", key)] = opened.get_tensor(key)
    if not state:
        raise InputError(
            f"{model}: its weights have no vision_tower: expected those of a vision-language model "
            "as LLaVA, LLaVA-NeXT or InternVL has them"
        )
    return state
