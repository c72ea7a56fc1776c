"""The methods of object discovery by name, as a config names them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.object_discovery.detections import Detections, Geometry
from ttr_backbones.object_discovery.lost import REMEDY as LOST_REMEDY
from ttr_backbones.object_discovery.lost import lost_batch
from ttr_backbones.object_discovery.tokencut import REMEDY as TOKENCUT_REMEDY
from ttr_backbones.object_discovery.tokencut import tokencut_batch

Method = Callable[..., Detections]
METHODS: dict[str, tuple[Method, str]] = {
    "lost": (lost_batch, LOST_REMEDY),
    "tokencut": (tokencut_batch, TOKENCUT_REMEDY),
}
"""Name -> the function, and what to do about images for which it has nothing to choose by."""


def build_method(config: Mapping[str, Any]) -> tuple[Method, str]:
    """Make a method of dict(type="lost", k=100, ...).

    Returns:
        A function of (feats [B, N, C], grid, patch, image_size), and its remedy.

    Raises:
        InputError: unknown name or argument.
    """
    name = str(config.get("type"))
    if name not in METHODS:
        raise InputError(unknown_name("method of object discovery", name, METHODS))
    method, remedy = METHODS[name]
    arguments = {key: value for key, value in config.items() if key != "type"}
    known = set(inspect.signature(method).parameters) - {"feats", *Geometry._fields}
    for argument in arguments:
        if argument not in known:
            raise InputError(unknown_name(f"argument of the method {name!r}", argument, known))
    return functools.partial(method, **arguments), remedy
