import errno
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ttr_backbones import cli
from ttr_backbones.app import failure
from ttr_backbones.cli import main
from ttr_backbones.errors import InputError, StopSignal


@pytest.fixture
def command(monkeypatch):
    """Make `ttrb probe` do what the test says."""

    def make(run):
        module = SimpleNamespace(__doc__="Probe.", add_arguments=lambda parser: None, run=run)
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(cli.COMMANDS, "probe", "probe_command")

    return make


def test_overview__names_every_command(capsys):
    assert main([]) == main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(shown.count(f"\n  {name} ") == 2 for name in cli.COMMANDS)


def test_light_commands__import_no_torch_and_others_say_that_they_do(command, monkeypatch, capsys):
    argvs = [[], *([name] for name in sorted(cli.WITHOUT_TORCH))]
    code = f"import sys; from ttr_backbones.cli import main; [main(argv) for argv in {argvs}]"
    code += "; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "False"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    command(lambda args: 0)
    assert main(["probe"]) == main(["lists"]) == 0
    assert capsys.readouterr().err == "ttrb probe: importing torch takes some seconds\n"


def test_options_that_are_in_the_code_of_a_repair_are_announced_before_it_is_imported(
    monkeypatch, capsys
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def parses(*_):
        assert capsys.readouterr().err.endswith(": importing torch takes some seconds\n")
        raise InputError("seen")

    monkeypatch.setattr("ttr_backbones.cli.find_neurons.add_arguments", parses)
    monkeypatch.setattr("ttr_backbones.cli.repair.add_arguments_of", parses)
    for argv in (["find-neurons"], ["repair", "test_time"]):
        assert main(argv) == 2
        assert capsys.readouterr().err == "ttrb: error: seen.\n"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ttr_backbones ")


def test_unknown_command(capsys):
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ttrb: error: unknown command 'trian'. Did you mean 'train'?")


def test_exit_code__is_the_command_s(command):
    command(lambda args: 3)
    assert main(["probe"]) == 3


def test_interrupt(command, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    command(interrupted)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == "ttrb: interrupted\n"


@pytest.mark.parametrize(("message", "told"), [("stopped", "ttrb: stopped.\n"), ("", "")])
def test_stop_signal__is_told_in_one_line_or_by_another_process(command, capsys, message, told):
    def stopped(args):
        raise StopSignal(message, signal.SIGTERM)

    command(stopped)
    assert main(["probe"]) == 143
    assert capsys.readouterr().err == told


def test_a_file_that_cannot_be_written__is_no_bug(command, capsys):
    def write(args):
        raise OSError(errno.EROFS, "Read-only file system", "out/table.csv")

    command(write)
    assert main(["probe"]) == 2
    told = "ttrb: error: out/table.csv cannot be written: its file system is read-only. Make it"
    assert capsys.readouterr().err.startswith(told)


def test_a_full_disk_behind_the_output__is_no_traceback():
    code = "import sys; from ttr_backbones.cli import main; sys.exit(main([]))"
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs Linux's /dev/full")
    with full.open("w") as output:
        result = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("ttrb: error: the output cannot be written: no space is left")
    assert result.stderr.count("\n") == 1


def test_a_bug__keeps_its_traceback(command):
    def broken(args):
        raise ValueError("a bug")

    command(broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["probe"])


class Failing(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise InputError("expected this: got that.\nDo so.")


@pytest.mark.parametrize("workers", [0, 1])
def test_error_in_a_worker__loses_the_worker_s_traceback(command, capsys, workers):
    command(lambda args: next(iter(torch.utils.data.DataLoader(Failing(), num_workers=workers))))
    assert main(["probe"]) == 2
    assert capsys.readouterr().err == "ttrb: error: expected this: got that.\nDo so.\n"


def test_error_in_a_nested_build__loses_the_prefixes():
    prefixes = (
        "class `EncoderDecoder` in mmseg/models/a.py: class `TimmViT` in ttr_backbones/b.py: "
    )
    assert failure.original_message(InputError(f"{prefixes}no such model")) == "no such model"


def test_a_closed_pipe__is_no_traceback():
    code = "import sys; from ttr_backbones.cli import main; sys.exit(main([]))"
    command = f'"{sys.executable}" -c "{code}" | true; echo ${{PIPESTATUS[0]}}'
    result = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == str(cli.EXIT_PIPE_CLOSED)
    assert result.stderr == ""
