"""Reading checkpoint files without running the code that a pickle may carry."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from ttr_backbones.errors import InputError, MissingFileError

TRUST_PICKLE = "TTRB_TRUST_PICKLE"


def load_checkpoint_file(path: str | Path, map_location: Any = None) -> Any:
    """Read a safetensors or torch file; nothing in it is executed.

    A torch file that holds more than tensors, containers and numbers is refused, unless the
    environment variable TTRB_TRUST_PICKLE is 1: then it is unpickled, which runs whatever code
    its author put there.

    Args:
        path: A local file.
        map_location: As for `torch.load`; safetensors files know plain devices only.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise MissingFileError(f"the checkpoint {path} {what}; give the path of one file.")
    if path.suffix == ".safetensors":
        return _load_safetensors(path, map_location)
    trusted = os.environ.get(TRUST_PICKLE) == "1"
    try:
        return torch.load(path, map_location=map_location, weights_only=not trusted)
    except (pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError) as error:
        refused = [] if trusted else _refused_globals(path, error)
        raise InputError(_why_unreadable(path, refused, error)) from error


def _load_safetensors(path: Path, map_location: Any) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    device = str(map_location) if isinstance(map_location, str | torch.device) else "cpu"
    try:
        return load_file(path, device=device)
    except SafetensorError as error:
        raise InputError(_why_unreadable(path, [], error)) from error


def _refused_globals(path: Path, error: Exception) -> list[str]:
    """Return the dotted names that weights-only loading refused, none for a damaged file."""
    named = re.findall(r"GLOBAL ([\w.]+)", str(error))
    list_all = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)  # torch 2.6
    if named and list_all is not None:
        # It reads zip files only; for an old file the first refused name has to do.
        with contextlib.suppress(pickle.UnpicklingError, OSError, RuntimeError, ValueError):
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
