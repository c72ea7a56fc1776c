"""`load_checkpoint_file`: the tensors of a file, whatever its format, and never its code."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.safe_load.archive import check_archive
from ttr_backbones.safe_load.file_format import FileFormat, file_format
from ttr_backbones.safe_load.legacy import check_declared_sizes
from ttr_backbones.safe_load.torchscript import read_torchscript

TRUST_PICKLE = "TTRB_TRUST_PICKLE"
# What damaged bytes make the readers raise.
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError, KeyError, IndexError),
    *(TypeError, AttributeError, zipfile.BadZipFile, NotImplementedError, OverflowError),
)
_ADVICE = {
    "tar": "is a tar archive, as torch wrote before 2018; reading it runs code",
    "npz": "is a NumPy archive (JAX or Flax weights), which is not read here",
    "zip": "is a zip archive without tensors of torch: unpack it and give the file in it",
    "gzip": "is compressed: unpack it and give the file in it",
    "hdf5": "is an HDF5 file (Keras weights), which is not read here",
}


class CarriesCodeError(InputError):
    """A file that would run code.

    Args:
        message: for the user.
        refused: dotted names that its pickle would call.
        zipped: whether it is a zip archive.
    """

    def __init__(self, message: str, refused: list[str], *, zipped: bool) -> None:
        super().__init__(message)
        self.refused, self.zipped = refused, zipped


def load_checkpoint_file(path: str | Path, map_location: Any = None) -> Any:
    """Read a safetensors, torch or TorchScript file; nothing in it is executed.

    The format is read from the file's bytes, not from its suffix. A TorchScript archive gives
    {dotted name: tensor}. A torch file that holds more than tensors, containers and numbers is
    refused, unless the environment variable TTRB_TRUST_PICKLE is 1: then it is unpickled, which
    runs whatever code its author put there.

    Args:
        path: A local file.
        map_location: As for `torch.load`; safetensors and TorchScript files know devices only.

    Raises:
        MissingFileError: No such file.
        InputError: A file that would run code, declares more data than it holds, is damaged, or
            is of another format.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise MissingFileError(f"the checkpoint {path} {what}; give the path of one file.")
    trusted = os.environ.get(TRUST_PICKLE) == "1"
    kind = file_format(path)
    _refuse_other_formats(path, kind, trusted=trusted)
    try:
        if kind == "safetensors":
            return _load_safetensors(path, map_location)
        if kind == "torchscript":
            return read_torchscript(path, _device(map_location))
        if kind == "torch":
            check_archive(path)
        elif kind == "pickle" and not trusted:
            check_declared_sizes(path)
        with path.open("rb") as file:  # given the path, torch would go by its suffix
            return torch.load(file, map_location=map_location, weights_only=not trusted)
    except InputError:  # one of ours, worded already
        raise
    except _DAMAGE as error:
        refused = [] if trusted else _refused_globals(path, error)
        message = _why_unreadable(path, refused, error)
        if refused:
            raise CarriesCodeError(message, refused, zipped=kind == "torch") from error
        raise InputError(message) from error


def _refuse_other_formats(path: Path, kind: FileFormat, *, trusted: bool) -> None:
    if kind == "unknown":
        with path.open("rb") as file:
            error = ValueError(f"no known format starts with {file.read(16)!r}")
        raise InputError(_why_unreadable(path, [], error))
    if kind not in _ADVICE or (kind == "tar" and trusted):
        return
    trust = (
        f" If you trust its author, set {TRUST_PICKLE}=1 and run again." if kind == "tar" else ""
    )
    raise InputError(
        f"{path} {_ADVICE[kind]}. Expected a safetensors file, a state_dict written by torch.save, "
        f"or a TorchScript archive.{trust}"
    )


def _device(map_location: Any) -> str:
    return str(map_location) if isinstance(map_location, str | torch.device) else "cpu"


def _load_safetensors(path: Path, map_location: Any) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=_device(map_location))
    except SafetensorError as error:
        raise InputError(_why_unreadable(path, [], error)) from error


def _refused_globals(path: Path, error: Exception) -> list[str]:
    """Return the dotted names that weights-only loading refused, none for a damaged file."""
    named = re.findall(r"GLOBAL ([\w.]+)", str(error))
    list_all = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)  # torch 2.6
    if named and list_all is not None:
        # It reads zip files only; for an old file the first refused name has to do.
        with contextlib.suppress(*_DAMAGE):
            named += list_all(path)
    return sorted(set(named))


def _why_unreadable(path: Path, refused: list[str], error: Exception) -> str:
    if refused:
        return (
            f"{path} holds Python objects besides tensors and would run code when loaded; refused: "
            f"{', '.join(refused)}. If you trust its author, set {TRUST_PICKLE}=1 and run again; "
            "better, save only the state_dict (tensors) once and use that file."
        )
    return (
        f"{path} ({path.stat().st_size} bytes) is no readable checkpoint: expected a file written "
        "by torch.save or safetensors. An interrupted download, or a Git LFS pointer or HTML page "
        f"in its place, looks like this: fetch it again. The reader said: {_core_of(error)}"
    )


def _core_of(error: Exception) -> str:
    """Return the one line that matters; torch wraps it in advice to switch the safety off."""
    inner = re.search(r"WeightsUnpickler error: (.*)", str(error))
    lines = (inner.group(1) if inner else str(error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
