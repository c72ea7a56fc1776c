"""Each fault once, on real processes and, where mounting is allowed, on a real disk."""

import errno
import multiprocessing
import re
import shutil
import sys

import pytest

from ttr_backbones.cli import main
from ttr_backbones.engine import SafeCheckpoint
from ttr_backbones.soak.disk import Disk
from ttr_backbones.soak.faults import FAULTS


@pytest.fixture
def soak(tmp_path):
    """Run the command in a process of its own: it mounts, and freezes what is in memory."""

    def run(*options):
        output = tmp_path / "output.txt"
        process = multiprocessing.get_context("fork").Process(target=_soak, args=(output, options))
        process.start()
        process.join(240)
        return process.exitcode, output.read_text()

    return run


def _soak(output, options):
    sys.stdout = sys.stderr = output.open("w", buffering=1)
    sys.exit(main(["soak", *options]))


def test_every_fault__is_survived_and_named(soak):
    code, output = soak()
    assert code == 0, output
    assert re.search(r"^disk: (a tmpfs of 64 MiB|no mount is allowed)", output)
    for kind in FAULTS:
        assert len(re.findall(rf" {kind.name}  .* ok  ", output)) == 1, output
    assert re.search(r"  end .* ok .*\d+ iterations with and without faults give the same", output)
    assert "no line(s) with a problem" in output


def test_what_is_lost__is_found(soak, monkeypatch):
    """A resume that forgets the random state, on a machine that allows no mount."""

    def refuse(self, root):
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(Disk, "__init__", refuse)
    monkeypatch.setattr(SafeCheckpoint, "before_train", lambda self, runner: None)
    code, output = soak("--seed", "1")
    assert code == 1, output
    assert "disk: no mount is allowed (" in output
    assert len(re.findall(r"^ *\d+  .* ok  ", output, re.MULTILINE)) == len(FAULTS), output
    assert re.search(r"  end .* BAD\n      state_dict.decode_head", output), output
    (folder,) = re.findall(r"data, logs and checkpoints: (.*)", output)
    shutil.rmtree(folder)


@pytest.mark.parametrize("options", [["--weights", "absent"], ["--keep", "."]])
def test_wrong_paths__are_told_before_anything_is_done(options, capsys):
    assert main(["soak", *options]) == 2
    assert f"ttrb: error: {options[0]} " in capsys.readouterr().err
