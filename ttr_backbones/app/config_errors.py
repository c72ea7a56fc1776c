"""What mmengine raises for a wrong name in a config, as an error with the right ones."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from mmengine import registry as registries
from mmengine.registry import Registry

import ttr_backbones.app.registration  # noqa: F401
from ttr_backbones.errors import InputError, unknown_name


@contextlib.contextmanager
def clear_config_errors() -> Iterator[None]:
    """Turn what mmengine raises for a wrong type or argument into an error with the right names."""
    try:
        yield
    except KeyError as error:
        found = re.search(r"([\w.]+) is not in the (\w+)::([\w ]+) registry", str(error))
        if found is None:
            raise
        name, scope, kind = found.groups()
        known = _registered(kind)
        if name in known:
            raise InputError(
                f"the config asks for type={name!r} without saying where that is: give it "
                f"default_scope = {_scope_of(kind, name)!r}, as mmseg's own configs have"
            ) from error
        raise InputError(
            f"the config asks for type={name!r}: {unknown_name(kind, name, known)} "
            f"A class of your own has to be registered in {scope} by a module in custom_imports."
        ) from error
    except TypeError as error:
        found = re.search(
            r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error)
        )
        if found is None:
            raise
        owner, argument = found.groups()
        accepted = inspect.signature(_registered().get(owner, object)).parameters
        raise InputError(
            f"the config gives {owner} an argument it does not have: "
            f"{unknown_name('argument', argument, accepted)}"
        ) from error


def _registered(kind: str | None = None) -> dict[str, Any]:
    """Return what mmengine's registries of `kind` (all, if None) and their children hold."""
    held: dict[str, Any] = {}
    for registry in _registries(kind):
        held |= registry.module_dict
    return held


def _scope_of(kind: str, name: str) -> str:
    """Return the scope in which `name` is registered."""
    return next(found.scope for found in _registries(kind) if name in found.module_dict)


def _registries(kind: str | None) -> Iterator[Registry]:
    pending: list[Any] = [
        value
        for value in vars(registries).values()
        if isinstance(value, Registry) and kind in {None, value.name}
    ]
    while pending:
        registry = pending.pop()
        yield registry
        pending += registry.children.values()
