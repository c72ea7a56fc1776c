"""Files that are either complete or absent, and clear errors where none can be written."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ttr_backbones.errors import InputError

_SUFFIX = ".partial"
_PROBE = 256 * 1024  # bytes; what a run writes before its first iteration fits in
_REASONS = {
    errno.ENOSPC: "no space is left on its disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than this process may write (ulimit -f)",
    errno.EROFS: "its file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "the operation is not permitted",
}
_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PERMISSION = {errno.EACCES, errno.EPERM}


class UnwritableError(InputError):
    """A file cannot be written: its disk is full or read-only, or a permission is missing."""


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, see `writing_atomically`."""
    with writing_atomically(path, len(content)) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def writing_atomically(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """Give a file beside `path` to write to, and rename it to `path` when the block is done.

    A process that is killed leaves the old file or the new one, and so does a block that fails.
    A link stays one; what is no file, a pipe or a device, is written to as it is.

    Args:
        path: the file; its folder is made if it is not there.
        size: what will be written, in bytes, if it is known.

    Raises:
        UnwritableError: the disk is full or read-only, or a permission is missing.
    """
    target = Path(path).resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}{_SUFFIX}")
    with clear_write_errors(path, size):
        if target.exists() and not target.is_file():
            yield target
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            with partial.open("r+b") as file:
                os.fsync(file.fileno())  # else a rename may reach the disk before the content does
            partial.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def append_atomically(path: str | Path, content: bytes) -> None:
    """Append all of `content` to `path` or nothing of it: a full disk leaves no half line.

    Raises:
        UnwritableError: the disk is full or read-only, or a permission is missing.
    """
    with clear_write_errors(path), Path(path).open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def check_writable(folder: str | Path) -> None:
    """Write 256 KiB to `folder`, which is made if it is not there, and remove them again.

    Nothing else tells whether a folder can be written: permissions, quotas and mounts all count.

    Raises:
        UnwritableError: it cannot be written.
        InputError: it is a file, or lies in one.
    """
    folder = Path(folder)
    probe = folder / f".{os.getpid()}{_SUFFIX}"
    with clear_write_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(bytes(_PROBE))
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"{folder} cannot be a folder for results: {error.filename} is a file. Choose "
                "another folder."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)


@contextlib.contextmanager
def no_empty_folder(folder: str | Path) -> Iterator[None]:
    """Remove `folder` again where the block has made it, fails, and leaves nothing in it."""
    existed = Path(folder).exists()
    try:
        yield
    except BaseException:
        if not existed:
            with contextlib.suppress(OSError):  # not empty, or never made
                Path(folder).rmdir()
        raise


def remove_partial_files(folder: str | Path, name: str = "") -> list[Path]:
    """Delete what killed processes left half-written in `folder`, and return it.

    Args:
        folder: where; nobody else may be writing there.
        name: of the one file that is meant; "" is all.
    """
    left = sorted(Path(folder).glob(f".{name}*{_SUFFIX}"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


@contextlib.contextmanager
def clear_write_errors(path: str | Path | None = None, size: int | None = None) -> Iterator[None]:
    """Turn errors of writing into `UnwritableError`; let other errors pass.

    Raises:
        UnwritableError: in place of the system's error.
    """
    try:
        yield
    except Exception as error:
        problem = unwritable(error, path, size)
        if problem is None:
            raise
        raise problem from error


def discard(stream: TextIO) -> None:
    """Let what waits in `stream` go nowhere: it would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def unwritable(
    error: BaseException, path: str | Path | None = None, size: int | None = None
) -> UnwritableError | None:
    """Return an `UnwritableError` for an error of writing; None if `error` is of another kind.

    Args:
        error: what was raised.
        path: the file or folder; by default the one that `error` names, or else the one that was
            open for writing where it arose, since a failing write names none.
        size: what was to be written, in bytes, if it is known.
    """
    number = _errno(error)
    if number not in _REASONS:
        return None
    named = path or getattr(error, "filename", None)
    if named is None and number in _SPACE:
        named = _open_for_writing(error)
    if named is None and number in _PERMISSION:
        return None  # no file has to do with it
    # Where nobody says that a file was being written, a missing permission may be that to read.
    refused = "opened" if path is None and number in _PERMISSION else "written"
    sized = f" ({_amount(size)})" if size else ""
    free = _free(named) if named and number == errno.ENOSPC else ""
    remedy = "Free space there" if number in _SPACE else "Make it accessible"
    return UnwritableError(
        f"{named or 'the output'}{sized} cannot be {refused}: {_REASONS[number]}{free}. "
        f"{remedy}, or choose another folder."
    )


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    # safetensors is Rust and has words only: "(os error 27)", until its 0.4 "Os { code: 27, ...".
    found = re.search(r"\(os error (\d+)\)|\bOs \{ code: (\d+)", str(error))
    return int(found[1] or found[2]) if found else None


def _open_for_writing(error: BaseException) -> str | None:
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, io.IOBase) and set("wax+") & set(str(getattr(value, "mode", ""))):
                found = getattr(value, "name", None)  # the innermost counts
    return str(found) if found else None


def _free(path: str | Path) -> str:
    """Say how much is free where `path` is or would be; nothing of a stream, as in "<stdout>"."""
    if str(path).startswith("<"):
        return ""
    existing = next(p for p in (Path(path), *Path(path).absolute().parents) if p.exists())
    return f", {_amount(shutil.disk_usage(existing).free)} are free"


def _amount(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
