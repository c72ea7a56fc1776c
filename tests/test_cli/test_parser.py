"""Wrong options, examples and defaults, of every command."""

import importlib
import re
import shlex

import pytest

from ttr_backbones.cli import COMMANDS, EXAMPLES, main
from ttr_backbones.cli.parser import Parser


def parser_of(name):
    module = importlib.import_module(COMMANDS[name])
    parser = Parser(prog=f"ttrb {name}", description=module.__doc__)
    module.add_arguments(parser)
    return parser


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in {"lists", "doctor", "configs"}])
def test_wrong_option__suggests_the_right_one(name, capsys):
    """Also without the arguments that are required, and of an abbreviation."""
    actions = parser_of(name)._actions
    options = [o for action in actions for o in action.option_strings if len(o) > 5]
    option = next(o for o in options if not o.startswith(("--help", "--local")))
    for wrong in (option[:-2] + option[-1], f"{option[:-2]}{option[-1]}=3", f"{option[:-1]}z"):
        assert main([name, wrong]) == 2
        name_alone = wrong.partition("=")[0]
        told = f"unknown option {name_alone!r}. Did you mean"
        error = capsys.readouterr().err
        assert told in error or "ambiguous option" in error
        assert option in error
    assert main([name, option[1:]]) == 2
    assert f"unknown option {option[1:]!r}. Did you mean {option!r}?" in capsys.readouterr().err


def test_other_errors__are_told_as_all_errors_are(capsys):
    for arguments, told in {
        ("train", "--amp"): "the following arguments are required: config. See ttrb train --help.",
        ("train", "x", "--seed", "a"): "argument --seed: invalid int value: 'a'. See ttrb train",
        ("prepare", "nyuu"): "unknown dataset 'nyuu'. Did you mean 'nyu'? Known: nyu. See ttrb",
        ("--versio",): "unknown option '--versio'. Did you mean '--version'?",
    }.items():
        assert main(arguments) == 2
        assert f"ttrb: error: {told}" in capsys.readouterr().err


def test_help__has_an_example_that_parses_and_every_default(capsys):
    assert EXAMPLES.keys() == COMMANDS.keys()
    for name, example in EXAMPLES.items():
        parser = parser_of(name)
        _, command, *arguments = shlex.split(example)
        assert command == name
        parser.parse_args(arguments)
        with pytest.raises(SystemExit) as done:
            main([name, "--help"])
        assert done.value.code == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert f"Example: {example}" in shown
        for action in parser._actions:
            if action.option_strings and action.default not in (None, False, "==SUPPRESS==", []):
                text = parser.formatter_class(name)._get_help_string(action)
                assert re.search(r"default|\(.*\)", text), (name, action.dest)
