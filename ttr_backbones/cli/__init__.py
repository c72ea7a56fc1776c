"""The `ttrb` command.

A command is a module with a one-line docstring, `add_arguments(parser)` and `run(args) -> int`;
it imports heavy packages inside `run` only. One whose options depend on its first argument has
`add_arguments_of(parser, arguments)` too. Listing it in `COMMANDS` is all there is to adding one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ttr_backbones import __version__
from ttr_backbones.app import failure, launcher
from ttr_backbones.atomic import clear_write_errors, discard
from ttr_backbones.cli.examples import EXAMPLES
from ttr_backbones.cli.exit_codes import EXIT_INPUT_ERROR, EXIT_PIPE_CLOSED, exit_code_of
from ttr_backbones.cli.parser import Parser
from ttr_backbones.errors import InputError, StopSignal, as_sentence, unknown_name

COMMANDS = {
    "train": "ttr_backbones.cli.train",
    "test": "ttr_backbones.cli.test",
    "predict": "ttr_backbones.cli.predict",
    "features": "ttr_backbones.cli.features",
    "text": "ttr_backbones.cli.text",
    "export": "ttr_backbones.cli.export",
    "configs": "ttr_backbones.cli.list_configs",
    "config": "ttr_backbones.cli.print_config",
    "prepare": "ttr_backbones.cli.prepare",
    "check-data": "ttr_backbones.cli.check_data",
    "sweep": "ttr_backbones.cli.sweep",
    "show": "ttr_backbones.cli.show",
    "attribute": "ttr_backbones.cli.attribute",
    "compare": "ttr_backbones.cli.compare",
    "benchmark": "ttr_backbones.cli.benchmark",
    "repair": "ttr_backbones.cli.repair",
    "find-neurons": "ttr_backbones.cli.find_neurons",
    "verify": "ttr_backbones.cli.verify",
    "atlas": "ttr_backbones.cli.atlas",
    "lists": "ttr_backbones.cli.lists",
    "bench": "ttr_backbones.cli.bench",
    "demo": "ttr_backbones.cli.demo",
    "doctor": "ttr_backbones.cli.doctor",
}
# The others take seconds before they can say anything.
WITHOUT_TORCH = {"configs", "lists"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ttrb` with `argv` (default: the process's own arguments); return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with clear_write_errors():
            code = _dispatch(arguments)
            launcher.at_success.close()
            sys.stdout.flush()  # here, where a closed pipe is caught
        return code
    except InputError as error:
        failure.print_error(failure.original_message(error))
        _flush_or_discard()
        return EXIT_INPUT_ERROR
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except BrokenPipeError:  # `ttrb ... | head`: who reads has gone
        discard(sys.stdout)
        return EXIT_PIPE_CLOSED
    except Exception as error:
        failure.record_bug(error)
        raise


def _flush_or_discard() -> None:
    """Flush the output, or drop it where it was this that could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)


def _stopped(stop: KeyboardInterrupt) -> int:
    """Tell that the user or a signal has ended the command; return the exit code."""
    if not isinstance(stop, StopSignal):
        print("ttrb: interrupted", file=sys.stderr)
    elif str(stop):  # else another process tells it
        print(f"ttrb: {as_sentence(str(stop))}", file=sys.stderr)
    return exit_code_of(stop)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"ttr_backbones {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        if name.startswith("-"):
            raise InputError(unknown_name("option", name, ("--help", "--version", "-h")))
        raise InputError(unknown_name("command", name, COMMANDS))
    command = importlib.import_module(COMMANDS[name])
    announced = _parses_with_torch(name, rest)
    if announced:
        _announce_torch(name)
    parser = Parser(prog=f"ttrb {name}", description=command.__doc__)
    command.add_arguments(parser)
    if hasattr(command, "add_arguments_of"):
        command.add_arguments_of(parser, rest)
    if name in EXAMPLES:
        parser.epilog = f"Example: {EXAMPLES[name]}"
    parsed = parser.parse_args(rest)
    if name not in WITHOUT_TORCH and not announced:
        _announce_torch(name)
    code: int = command.run(parsed)
    return code


def _parses_with_torch(name: str, rest: list[str]) -> bool:
    """Whether the options of a command are those of a repair, which are in its code."""
    return name == "find-neurons" or (name == "repair" and bool(rest) and rest[0][:1] != "-")


def _announce_torch(name: str) -> None:
    if sys.stderr.isatty() and launcher.is_first():
        print(f"ttrb {name}: importing torch takes some seconds", file=sys.stderr, flush=True)


def _overview() -> str:
    lines = [
        "usage: ttrb COMMAND [-h] ...",
        "",
        "Test-time registers and other repairs of Vision Transformers, and their evaluation.",
        "",
    ]
    for name, module in COMMANDS.items():
        summary = (importlib.import_module(module).__doc__ or "").strip().partition("\n")[0]
        lines.append(f"  {name:12} {summary}")
    return "\n".join([*lines, "", "ttrb COMMAND --help lists a command's options."])
