"""The options of a repair's fit as words of a command line: names, types, defaults, choices.

The declaration is the signature of `Repair.fit` itself, with the texts of `fit_options`.
"""

from __future__ import annotations

import contextlib
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ttr_backbones.comma_list import comma_parts
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.repairs.repair import Repair

_NUMBERS = {int: "a whole number", float: "a number"}
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True)
class FitArgument:
    """One option of a fit.

    Args:
        name: keyword of `Repair.fit`.
        help: what it means.
        default: of the signature; None where the fit finds it by itself.
        kinds: types of its values; int, float, bool, str, Path, `list` of numbers.
        words: values that are words of their own, as of a Literal.
    """

    name: str
    help: str
    default: Any
    kinds: tuple[Any, ...]
    words: tuple[Any, ...] = ()

    @property
    def option(self) -> str:
        """As on a command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """Description of its values, for messages."""
        numbers = [_NUMBERS[kind] for kind in _NUMBERS if kind in self.kinds]
        words = numbers[-1:] + ["true or false"] * (bool in self.kinds)
        words += ["numbers with commas between them"] * (list in self.kinds)
        words += ["a text"] * (str in self.kinds or Path in self.kinds)
        return " or ".join([*map(str, self.words), *words])

    def read(self, text: str) -> Any:
        """Return the value of a word.

        Raises:
            InputError: it is none.
        """
        for word in self.words:
            if text == str(word):
                return word
        readers: dict[Any, Callable[[str], Any]] = {
            bool: _bool,
            int: int,
            float: float,
            list: _numbers,
            str: str,
            Path: str,
        }
        for kind, reader in readers.items():
            if kind in self.kinds:
                with contextlib.suppress(ValueError):
                    return reader(text)
        if self.words and not self.kinds:
            raise InputError(unknown_name(f"value of {self.option}", text, map(str, self.words)))
        raise InputError(f"{self.option} {text}: expected {self.expected}")


def fit_arguments(repair: Repair) -> list[FitArgument]:
    """Return the options of a repair's fit, in the order of its `fit_options`."""
    parameters = inspect.signature(repair.fit).parameters
    try:
        hints = typing.get_type_hints(type(repair).fit)
    except NameError:  # types that are imported for type checkers alone
        hints = {}
    found = []
    for name, text in repair.fit_options.items():
        parameter = parameters.get(name)
        default = None if parameter is None else parameter.default
        default = None if default is inspect.Parameter.empty else default
        kinds, words = _kinds(hints.get(name, type(default)))
        if not kinds and not words:
            kinds = (int, float, bool, str)  # no type says more
        found.append(FitArgument(name, text, default, kinds, words))
    return found


def _kinds(hint: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The types that a command line can give of a hint, and its words."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return (), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_kinds(part) for part in typing.get_args(hint)]
        kinds = dict.fromkeys(kind for part, _ in parts for kind in part)
        return tuple(kinds), tuple(word for _, words in parts for word in words)
    if hint in (int, float, bool, str, Path):
        return (hint,), ()
    is_list = isinstance(origin, type) and issubclass(origin, Sequence)
    if is_list and set(typing.get_args(hint)) & {int, float}:
        return (list,), ()
    return (), ()


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError(text)
    return _BOOLS[text.lower()]


def _numbers(text: str) -> list[int | float]:
    parts = comma_parts(text)
    try:
        return [int(part) for part in parts]
    except ValueError:
        return [float(part) for part in parts]
