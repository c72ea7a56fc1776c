"""The command line's parser: a wrong name is answered with the nearest right one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from ttr_backbones.errors import InputError, as_sentence, unknown_name


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are `InputError`s that suggest what was meant.

    Its help shows every default, and ends sentences.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(*args, **kwargs)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; an unknown option goes before all other errors, which may come of it.

        Raises:
            InputError: an unknown option.
        """
        if not any(isinstance(action, argparse._SubParsersAction) for action in self._actions):  # noqa: SLF001
            self._check_options(args)
        parsed: tuple[argparse.Namespace, list[str]] = super().parse_known_args(args, namespace)
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found as an InputError."""
        choice = re.fullmatch(
            r"(?:argument (.+): )?invalid choice: '(.*)' \(choose from (.*)\)", message
        )
        if choice is not None:
            argument, value, known = choice.groups()
            names = [name.strip().strip("'") for name in known.split(",")]
            message = unknown_name(argument or "choice", value, names)
        raise InputError(f"{as_sentence(message)} See {self.prog} --help.")

    def _check_options(self, args: Sequence[str]) -> None:
        known = self._option_string_actions
        for argument in args:
            if argument == "--":
                return
            name = argument.partition("=")[0]
            if not re.fullmatch(r"--?[A-Za-z][\w-]*", name) or name in known:
                continue
            if not any(option.startswith(name) for option in known):  # else an abbreviation
                shown = [o for o in known if o.startswith("--") and not _is_hidden(known[o])]
                message = unknown_name("option", name, shown)
                if name.startswith("--") or f"-{name}" not in shown:
                    raise InputError(f"{message} See {self.prog} --help.")
                raise InputError(f"unknown option {name!r}. Did you mean '-{name}'?")


def _is_hidden(action: argparse.Action) -> bool:
    return action.help == argparse.SUPPRESS


class _Formatter(argparse.HelpFormatter):
    """Adds the default where the text does not tell it, and the full stop."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if not text or text == argparse.SUPPRESS:
            return text
        default = action.default
        if isinstance(default, list | tuple):
            default = " ".join(map(str, default))
        wanted = action.option_strings and str(default) not in {"", "None", "False", "==SUPPRESS=="}
        if wanted and "default" not in text and f"({default})" not in text:
            text = f"{text} (default: {str(default).replace('%', '%%')})"
        return as_sentence(text)
