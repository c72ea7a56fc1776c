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
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ttr_backbones.errors import InputError


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
    """Make `import mmseg` work; call it before the first import of mmseg.

    Gives mmcv-lite an importable `mmcv.ops` and keeps albumentations from asking the network for
    updates. Nothing of mmengine, mmcv or mmseg is changed.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    prepare_torchvision()
    if "mmcv.ops" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        _import_mmcv_ops_without_extension()


def config_from_file(path: str | Path) -> Any:
    """Read a config, as `mmengine.Config.fromfile` does, with any setuptools.

    A base such as "mmseg::_base_/models/fcn_unet_s5-d16.py" is found through pkg_resources, which
    setuptools has lost in version 82. Where it is absent, packages are looked for as Python does
    while the config is read.

    Raises:
        InputError: A base is of a package that is not installed.
    """
    from mmengine.config import Config, config
    from mmengine.config.utils import MODULE2PACKAGE

    try:
        if importlib.util.find_spec("pkg_resources") is not None:
            return Config.fromfile(path)
        return _without_pkg_resources(config, MODULE2PACKAGE, Config.fromfile, path)
    except (AssertionError, ValueError) as error:
        if not re.search("does not support to load|external package", str(error)):
            raise
        known = ", ".join(f"{module}::" for module in MODULE2PACKAGE)
        raise InputError(f"{path}: {error} Bases of packages begin with {known}.") from error


def _without_pkg_resources(config: Any, modules: dict[str, str], read: Any, path: Any) -> Any:
    names = {package: module for module, package in modules.items()}

    def folder_of(package: str) -> str:  # mmengine asks for mmsegmentation
        package = names.get(package, package)
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise InputError(
                f"{path}: a base is named {package}::..., and no package {package!r} is installed. "
                "Install it, correct the name (mmseg is there), or give the base by its path."
            )
        return str(Path(spec.origin).parent)

    theirs = {name: getattr(config, name) for name in ("is_installed", "get_installed_path")}
    config.is_installed, config.get_installed_path = lambda _: True, folder_of
    try:
        return read(path)
    finally:
        for name, function in theirs.items():
            setattr(config, name, function)


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
