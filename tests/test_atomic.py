import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ttr_backbones.atomic import (
    UnwritableError,
    append_atomically,
    check_writable,
    clear_write_errors,
    remove_partial_files,
    unwritable,
    write_atomically,
)
from ttr_backbones.errors import InputError

FULL = Path("/dev/full")  # a device of Linux on which every write fails for want of space
on_linux = pytest.mark.skipif(not FULL.exists(), reason="needs Linux's /dev/full")


class KilledError(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [KilledError, OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "")]
)
def test_write__a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "a.pth"
    write_atomically(path, b"old")

    def fail(fd):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((KilledError, UnwritableError, OSError)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_partial_files__of_a_killed_process_are_removed(tmp_path):
    left, other = tmp_path / ".a.pth.123.partial", tmp_path / ".b.pth.123.partial"
    for path in (left, other, tmp_path / "a.pth"):
        path.write_bytes(b"content")
    assert remove_partial_files(tmp_path, "a.pth") == [left]
    assert remove_partial_files(tmp_path) == [other]
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_write__follows_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"content"


@on_linux
def test_full_disk__is_named_with_what_was_needed():
    told = (
        r"/dev/full \(1\.5 MB\) cannot be written: no space is left on its disk, [\d.]+ .. are free"
        r"\. Free space there, or choose another folder\."
    )
    with pytest.raises(UnwritableError, match=told):
        write_atomically(FULL, bytes(1_500_000))
    assert FULL.is_char_device()


def test_file_size_limit__is_named_and_leaves_nothing(tmp_path):
    """The system's own refusal, for files of all kinds, safetensors' among them."""
    code = (
        "import sys, numpy; from pathlib import Path; from resource import *\n"
        "from safetensors.numpy import save_file; from ttr_backbones.atomic import *\n"
        "setrlimit(RLIMIT_FSIZE, (1000, RLIM_INFINITY))\n"
        "for name, write in {'a': lambda p: p.write_bytes(bytes(2000)),\n"
        "                    'b': lambda p: save_file({'x': numpy.zeros(999)}, p)}.items():\n"
        "    try:\n"
        "        with writing_atomically(Path(sys.argv[1]) / name, 2000) as p: write(p)\n"
        "    except UnwritableError as error: print(error)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    for name, line in zip("ab", shown.stdout.splitlines(), strict=True):
        assert line.startswith(f"{tmp_path / name} (2.0 kB) cannot be written: it would be larger")
    assert not list(tmp_path.iterdir())


@on_linux
def test_append__on_a_full_disk_is_named():
    with pytest.raises(UnwritableError, match="/dev/full cannot be written: no space is left"):
        append_atomically(FULL, b"a line\n")


def test_append__is_all_or_nothing(tmp_path):
    """A limit lets a part of the line through, as a full disk does."""
    path = tmp_path / "log.json"
    path.write_bytes(b"first\n")
    code = (
        "import sys; from resource import *; from ttr_backbones.atomic import *\n"
        "append_atomically(sys.argv[1], b'second\\n')\n"
        "setrlimit(RLIMIT_FSIZE, (16, RLIM_INFINITY))\n"
        "append_atomically(sys.argv[1], b'third\\n')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert "UnwritableError" in result.stderr
    assert path.read_bytes() == b"first\nsecond\n"


@on_linux
def test_a_failing_write__names_the_innermost_open_file(tmp_path):
    with (
        pytest.raises(UnwritableError, match=r"^/dev/full cannot be written: no space"),
        clear_write_errors(),
        (tmp_path / "outer").open("w"),
        FULL.open("w") as inner,
    ):
        inner.write("text")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EROFS, "", "a.csv"),
            "a.csv cannot be written: its file system is read-only",
        ),
        (OSError(errno.EDQUOT, "", "a.csv"), "a.csv cannot be written: the disk quota is used up"),
        (
            PermissionError(errno.EACCES, "", "a.csv"),
            "a.csv cannot be opened: permission is denied",
        ),
        (OSError(errno.ENOSPC, ""), "the output cannot be written: no space is left on its disk"),
    ],
)
def test_error__in_words(error, told):
    assert str(unwritable(error)).startswith(told)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "", "a.csv"),
        OSError(errno.EIO, "", "a.csv"),
        PermissionError(errno.EPERM, "no file has to do with it"),
        ValueError("no space is left on device"),
    ],
)
def test_other_errors__pass(error):
    assert unwritable(error) is None
    with pytest.raises(type(error)), clear_write_errors():
        raise error


def test_check__makes_the_folder_and_leaves_it_empty(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("below", ["file", "file/below"])
def test_check__of_a_file(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"{tmp_path / below} cannot be a folder for results: "):
        check_writable(tmp_path / below)


def test_check__of_what_nobody_may_write():
    if not Path("/sys").is_mount():
        pytest.skip("no sysfs, in which nobody can make a folder")
    with pytest.raises(UnwritableError, match="/sys/run cannot be written: "):
        check_writable("/sys/run")
