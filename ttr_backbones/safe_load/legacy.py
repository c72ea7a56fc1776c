"""Pickles of torch before 1.6: how much data they declare, before any of it is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load.inert_unpickler import Inert, InertUnpickler
from ttr_backbones.safe_load.storages import STORAGE_DTYPES

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PICKLES = 3  # behind the magic number: protocol version, about the writer, the object


def check_declared_sizes(path: Path) -> None:
    """Check that the storages that a legacy file declares fit into it.

    Raises:
        InputError: they do not, or torch did not write the pickle.
        pickle.UnpicklingError, EOFError, ...: a damaged file.
    """
    declared: dict[str, int] = {}

    def declare(pid: Any) -> Inert:
        # ("storage", class, key, location, number of elements, view)
        if isinstance(pid, tuple) and len(pid) > 4 and isinstance(pid[4], int):
            dtype = STORAGE_DTYPES.get(getattr(pid[1], "name", ""))
            declared[str(pid[2])] = pid[4] * (dtype.itemsize if dtype else 1)
        return Inert()

    with path.open("rb") as file:
        if InertUnpickler(file, {}, declare).load() != _MAGIC_NUMBER:
            raise InputError(
                f"{path} is a pickle that torch.save did not write; reading one runs code. "
                "Expected a safetensors file or a state_dict written by torch.save."
            )
        for _ in range(_PICKLES):
            InertUnpickler(file, {}, declare).load()
    size = path.stat().st_size
    if sum(declared.values()) > size or min(declared.values(), default=0) < 0:
        raise InputError(
            f"{path} declares {sum(declared.values())} bytes of tensors in a file of {size} bytes: "
            "it is cut short, or made to exhaust memory. Fetch it from its author again."
        )
