"""What `--cfg-options KEY=VALUE` makes of VALUE."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from ttr_backbones.errors import InputError

_PAIRS = {"[": "]", "(": ")", "{": "}"}
_WORDS = {"true": True, "false": False}
_LITERALS = (bool, int, float, str, list, tuple, dict, type(None))


def read_value(text: str, current: Any = None) -> Any:
    """Read the value of an option; what is nothing else is a string, exactly as typed.

    In this order:

    1. A Python literal: a number, True, False, None, a string in quotes, a list, a tuple, a dict.
       As in OpenMMLab true and false may be small, strings inside brackets need no quotes,
       (1) is a tuple of one, and numbers with commas between them are a list.
    2. With commas in it, a list of its parts, if the config has a list or tuple there now.
    3. A string with its blanks, commas, brackets and `=`, as paths may have them.

    Args:
        text: what stands behind the first `=`.
        current: the config's value, None if it has none.

    Raises:
        InputError: brackets that are not closed, or a dict(...) or {...} that is no literal.
    """
    value = text.strip()
    literal = _literal(value)
    if literal is not _NONE:
        return literal
    if value[:1] in {"[", "("} and _is_bracketed(value):
        items = [read_value(part) for part in _split(value[1:-1])]
        return tuple(items) if value[0] == "(" else items
    if re.match(r"dict\(|\{", value) or (value[:1] in _PAIRS and not _is_balanced(value)):
        raise InputError(
            f"{text[:200]!r} cannot be read. Expected a number, a word, a [list] or (tuple) with "
            "all brackets closed; write a dict key by key, as in model.backbone.repair.num=2, "
            "and put a string that begins with a bracket in quotes of its own."
        )
    if isinstance(current, list | tuple) and "," in value and _is_balanced(value):
        return [read_value(part) for part in _split(value)]
    if not isinstance(current, str) and re.fullmatch(r"[-+]?(\d+|inf|nan)", value):
        return float(value) if value[-1] in "fn" else int(value)
    return text


_NONE = object()


def _literal(value: str) -> Any:
    """Return what `value` is as a Python literal, or `_NONE`."""
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backslash in a string
            literal = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _NONE
    is_comment = "#" in value and not isinstance(literal, str | list | tuple | dict)
    if is_comment or not isinstance(literal, _LITERALS):
        return _NONE
    if isinstance(literal, tuple):
        return literal if _is_bracketed(value) else list(literal)
    return (literal,) if value[0] == "(" and _is_bracketed(value) else literal


def _depths(value: str) -> list[int] | None:
    """Return how many brackets are open after each character, or None if they do not match."""
    depths: list[int] = []
    open_brackets: list[str] = []
    quote = ""
    for character in value:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and open_brackets:  # else an apostrophe in a path
            quote = character
        elif character in _PAIRS:
            open_brackets.append(_PAIRS[character])
        elif character in _PAIRS.values() and (
            not open_brackets or open_brackets.pop() != character
        ):
            return None
        depths.append(len(open_brackets) + bool(quote))
    return None if open_brackets or quote else depths


def _is_balanced(value: str) -> bool:
    return _depths(value) is not None


def _is_bracketed(value: str) -> bool:
    """Whether one pair of brackets is around all of it."""
    depths = _depths(value)
    return depths is not None and value[:1] in _PAIRS and 0 not in depths[:-1]


def _split(inner: str) -> list[str]:
    """Take apart what stands between commas outside of brackets and quotes."""
    depths = [depth - 1 for depth in (_depths(f"[{inner}]") or [])[1:-1]]
    parts, start = [], 0
    for index, (character, depth) in enumerate(zip(inner, depths, strict=True)):
        if character == "," and not depth:
            parts.append(inner[start:index].strip())
            start = index + 1
    last = inner[start:].strip()
    return [*parts, last] if last else parts
