"""Each fault once, on real processes and, where mounting is allowed, on a real disk."""

import errno
import multiprocessing
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from soaking.disk import Disk
from soaking.faults import FAULTS

from ttr_backbones.engine import SafeCheckpoint

COMMAND = Path(__file__).resolve().parents[2] / "tools" / "soak.py"


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
    sys.argv = [str(COMMAND), *options]
    runpy.run_path(str(COMMAND), run_name="__main__")


@pytest.mark.nightly
def test_every_fault__is_survived_and_named(soak):
    code, output = soak()
    assert code == 0, output
    assert re.search(r"^disk: (a tmpfs of 64 MiB|no mount is allowed)", output)
    for kind in FAULTS:
        assert len(re.findall(rf" {kind.name}  .* ok  ", output)) == 1, output
    assert re.search(r"  end .* ok .*\d+ iterations with and without faults give the same", output)
    assert "no line(s) with a problem" in output


@pytest.mark.nightly  # it is the soak run's own eye that this tests
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


def test_wrong_paths__are_told_before_anything_is_done():
    """In a new process, as a user starts it."""
    for options in (["--weights", "absent"], ["--keep", "."]):
        command = [sys.executable, str(COMMAND), *options]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == 2
        assert f"ttrb: error: {options[0]} " in ended.stderr
