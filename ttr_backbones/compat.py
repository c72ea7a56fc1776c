"""The only place that works around other packages.

Each function mends what is broken and leaves a healthy installation alone; calling one again costs
nothing. `ttrb doctor` reports the same states in words.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load import load_checkpoint_file


@functools.cache
def prepare_torchvision() -> None:
    """Make `import torchvision` work beside a CPU-only torch.

    PyPI's torchvision is built against CUDA torch, so its C++ library does not load there and the
    import stops at `operator torchvision::nms does not exist`. Declaring the two missing
    operators, without any implementation, lets it finish; calling them still raises.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        importlib.import_module("torchvision")


def _declare_torchvision_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half of the package stays behind after a failed import
    boxes = "Tensor dets, Tensor scores, float iou_threshold"
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", f"({boxes}) -> Tensor")


@functools.cache
def prepare_mmseg() -> None:
    """Make `import mmseg` work and safe; call it before the first import of mmseg.

    Gives mmcv-lite an importable `mmcv.ops`, keeps albumentations from asking the network for
    updates, and has mmengine read checkpoints without unpickling foreign code and write one report
    of a test.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    prepare_torchvision()
    if "mmcv.ops" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        _import_mmcv_ops_without_extension()
    _register_safe_loaders()
    _report_tests_once()


class _MissingExtension(ModuleType):
    """Stands in for `mmcv._ext`: has every operator by name, and each says that it is absent."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*args: object, **kwargs: object) -> None:  # noqa: ARG001
            raise RuntimeError(
                f"mmcv operator {name!r} was called, but mmcv-lite has no compiled operators. "
                "Install the full mmcv (>=2.1.0,<2.2.0) in place of mmcv-lite, or use a model "
                "without this operator."
            )

        absent.__name__ = name
        return absent


def _import_mmcv_ops_without_extension() -> None:
    """Import `mmcv.ops` against a stand-in that is taken away again.

    mmseg imports a few names from `mmcv.ops` whether it uses them or not. The stand-in must not
    stay: mmcv and mmengine tell a full mmcv by looking for `mmcv._ext`.
    """
    name = "mmcv._ext"
    stand_in = _MissingExtension(name)
    stand_in.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    sys.modules[name] = stand_in
    try:
        importlib.import_module("mmcv.ops")
    finally:
        del sys.modules[name]


def _register_safe_loaders() -> None:
    """Replace mmengine's readers of local files and URLs, which unpickle whatever they are given.

    The readers are named as mmengine names its own: it prints the part after `load_from_`.
    """
    from mmengine.runner import CheckpointLoader

    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    CheckpointLoader.register_scheme(
        prefixes=["http://", "https://"], loader=load_from_http, force=True
    )


def _report_tests_once() -> None:
    """Let one process write a test's metrics: mmengine 0.10 has all of them write into one file."""
    from mmengine.dist import master_only
    from mmengine.hooks import LoggerHook

    LoggerHook.after_test_epoch = master_only(LoggerHook.after_test_epoch)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a local checkpoint for mmengine, see `load_checkpoint_file`."""
    return load_checkpoint_file(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Download a checkpoint into torch's cache (once, on rank 0) and read it safely."""
    import torch
    from mmengine.dist import barrier, is_main_process

    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(filename).path).name
    if is_main_process() and not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(cached))
        except OSError as error:
            raise InputError(
                f"{filename} could not be downloaded ({error}). Fetch it where there is a network "
                f"and give the local file, or put it at {cached}."
            ) from error
    barrier()
    return load_checkpoint_file(cached, map_location)
