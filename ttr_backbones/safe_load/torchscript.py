"""The tensors of a TorchScript archive, without its code.

`torch.jit.load` runs what the archive says when it makes the modules: a scripted `__setstate__`
can write files. The tensors lie beside the code, as `data.pkl` (a pickle of the modules'
attributes) and `data/KEY` (the storages), and are read from there.
"""

from __future__ import annotations

import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load.archive import check_archive
from ttr_backbones.safe_load.inert_unpickler import Inert, InertUnpickler
from ttr_backbones.safe_load.storages import STORAGE_DTYPES

_MOST_NAMES = 1_000_000  # modules that share parts can have more names than memory holds


class _StorageType:
    """Stands for one of torch's storage classes."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Storages:
    """Reads the storages of an archive, each once, as flat tensors."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._read: dict[str, Tensor] = {}

    def __call__(self, pid: Any) -> Tensor:
        """Return the storage of ("storage", type, key, location, number of elements)."""
        kind, storage, key, _, numel = pid
        if kind != "storage" or not isinstance(storage, _StorageType):
            raise ValueError(f"the archive has a {pid[:2]} that is no storage of numbers")
        name = f"{self._root}data/{key}"
        if name not in self._read:
            raw = bytearray(self._archive.read(name))
            if len(raw) != numel * storage.dtype.itemsize:
                raise ValueError(f"{name} has {len(raw)} bytes, which are not {numel} elements")
            empty = torch.empty(0, dtype=storage.dtype)
            self._read[name] = torch.frombuffer(raw, dtype=storage.dtype) if raw else empty
        return self._read[name]


def read_torchscript(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Read the parameters, buffers and tensor attributes of a TorchScript archive.

    Returns:
        {dotted name: tensor}, as the module's `state_dict` names them.

    Raises:
        InputError: an archive that is not as torch writes it, or a module that packs its own state
            (`__getstate__`), which only its code could unpack.
        zipfile.BadZipFile, KeyError, ValueError, ...: a damaged archive.
    """
    module, _ = unpickle_archive(path)
    if not isinstance(module, Inert):
        raise InputError(
            f"{path}: its data.pkl holds a {type(module).__name__}, not a module. Expected an "
            "archive of torch.jit.save, or a state_dict written by torch.save."
        )
    return {name: tensor.to(device) for name, tensor in _tensors(module, path)}


def unpickle_archive(path: Path) -> tuple[Any, list[str]]:
    """Unpickle an archive of torch: tensors and containers; `Inert` is all that is not.

    Returns:
        What it holds, and the dotted names of the classes that something inert stands for.

    Raises:
        InputError: an archive that is not as torch writes it.
        zipfile.BadZipFile, KeyError, ValueError, ...: a damaged archive.
    """
    entries = check_archive(path)
    roots = [e.filename.removesuffix("data.pkl") for e in entries if _is_root(e.filename)]
    if len(roots) != 1:
        raise InputError(
            f"{path} has {len(roots)} data.pkl where an archive of torch has one. Write it with "
            "torch.save again, or fetch it from its author."
        )
    with zipfile.ZipFile(path) as archive:
        _check_byte_order(archive, roots[0])
        storages = _Storages(archive, roots[0])
        with archive.open(f"{roots[0]}data.pkl") as file:
            unpickler = InertUnpickler(file, _known(), storages)
            return unpickler.load(), sorted(unpickler.inert)


def _is_root(name: str) -> bool:
    return name.rpartition("/")[2] == "data.pkl" and name.count("/") <= 1


def _check_byte_order(archive: zipfile.ZipFile, root: str) -> None:
    name = f"{root}byteorder"
    if name in archive.namelist() and archive.read(name).decode() != sys.byteorder:
        raise ValueError("the archive was written by a machine of the other byte order")


def _tensors(module: Inert, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Walk over the modules in the order of the file; one that occurs twice counts once a name."""
    waiting: list[tuple[str, Any, tuple[int, ...]]] = [("", module, ())]
    names = 0
    while waiting:
        prefix, value, above = waiting.pop()
        names += 1
        if names > _MOST_NAMES:
            raise InputError(
                f"{path} has over {_MOST_NAMES} names of modules and tensors: expected those of a "
                "model. Save its state_dict with torch.save and use that file."
            )
        if isinstance(value, Tensor):
            yield prefix, value
        if not isinstance(value, Inert):
            continue
        state = value.__dict__.get("state", {})
        if id(value) in above or not isinstance(state, Mapping):
            raise InputError(
                f"{path}: the module {prefix or value.name!r} packs its own state "
                f"({value.name}), and only code in the file could unpack it, which is not run. "
                "Save its state_dict with torch.save and use that file."
            )
        parts = [
            (f"{prefix}.{name}" if prefix else str(name), part, (*above, id(value)))
            for name, part in state.items()
        ]
        waiting += reversed(parts)


def _known() -> dict[str, Any]:
    """Return what the pickle may call; new objects, for a pickle can set attributes of them."""

    def rebuild_tensor(
        storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> Tensor:
        return storage.as_strided(size, stride, offset)  # checks that it lies within

    def untagged(value: Any, *_: Any) -> Any:
        return value

    lists = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
    return {
        "collections.OrderedDict": OrderedDict,
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch._utils._rebuild_parameter": untagged,
        **{f"torch.jit._pickle.{name}": untagged for name in (*lists, "restore_type_tag")},
        **{name: _StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
    }
