"""Print versions, device and configs, what is wrong with them and how to mend it."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util

from ttr_backbones.cli.requirements import declared_requirements

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "mmengine",
    "mmcv",
    "mmcv-lite",
    "mmsegmentation",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmsegmentation",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "albumentations",
    "scipy",
    "matplotlib",
    "pillow",
    "ftfy",
    "regex",
    "safetensors",
    "tensorboard",
    "packaging",
    "rich",
    "h5py",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "setuptools",
    "openmim",
)
BAD_TIMM = ("1.0.21", "1.0.23")
Versions = Mapping[str, str]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, and the command or step that mends it.

    Args:
        what: What is wrong.
        mend: What to do about it.
        fatal: False for a note about something that works now and may break later.
    """

    what: str
    mend: str
    fatal: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`ttrb doctor` takes no options."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001
    """Print the report; return 1 if something is wrong."""
    versions = installed_versions()
    print(f"python                  {platform.python_version()}  ({sys.executable})")
    for name, version in versions.items():
        print(f"{name:<23} {version}")
    problems = [*version_problems(versions), *import_problems()]
    for name, describe in {
        "cv2": cv2,
        "mmcv is": mmcv_kind,
        "device": device,
        "configs": configs,
        "export": export,
    }.items():
        print(f"{name:<23} {_or_error(describe)}")
    for problem in problems:
        print(f"\n{'PROBLEM' if problem.fatal else 'note'}: {problem.what}\n  mend: {problem.mend}")
    wrong = sum(problem.fatal for problem in problems)
    print(f"\n{wrong} problem(s) found." if wrong else "\nEverything is in order.")
    return int(wrong > 0)


def installed_versions() -> dict[str, str]:
    """Return {distribution: version} of those in `PACKAGES` that are installed."""
    # str: a half-deleted package has no name.
    installed = {str(d.name).lower().replace("_", "-"): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def version_problems(versions: Versions) -> Iterator[Problem]:
    """Yield what the set of installed versions alone shows to be wrong."""
    yield from _unmet(versions)
    yield from _without_pkg_resources(versions)
    yield from _doubly_installed(versions)


def _unmet(versions: Versions) -> Iterator[Problem]:
    try:
        requirements = declared_requirements()
    except metadata.PackageNotFoundError:
        yield Problem(
            "ttr_backbones itself is not installed, so which versions it needs is unknown.",
            "pip install -e . in its folder",
            fatal=False,
        )
        return
    for requirement in requirements:
        present = [name for name in requirement.names if name in versions]
        if not present and requirement.extra is None:
            yield Problem(
                f"{requirement.names[0]} is not installed.",
                "pip install ttr_backbones again, without --no-deps",
            )
        for name in present:
            version = versions[name]
            if not requirement.accepts(name, version):
                yield Problem(
                    f"{_reason(name, version)}: ttr_backbones needs {requirement.specifier}.",
                    f'pip install "{name}{requirement.specifier}"',
                    fatal=requirement.extra is None,
                )


def _reason(name: str, version: str) -> str:
    if name == "timm" and version in BAD_TIMM:
        return f"timm {version} initialises or loads some ViTs wrongly"
    if name in ("mmcv", "mmcv-lite") and _numbers(version) >= (2, 2):
        # mmseg 1.2.2 compares with 2.2.0 and stops at import.
        return f"mmsegmentation refuses {name} {version}, it takes >=2.0.0,<2.2.0"
    return f"{name} {version} does not fit"


def _without_pkg_resources(versions: Versions) -> Iterator[Problem]:
    if "openmim" in versions and _numbers(versions.get("setuptools", "0")) >= (82,):
        yield Problem(
            f"setuptools {versions['setuptools']} has no pkg_resources, which openmim (mim) needs.",
            'not needed here: install with pip, or pip install "setuptools<82" for mim',
            fatal=False,
        )


def _doubly_installed(versions: Versions) -> Iterator[Problem]:
    originals = [n for n in ("mmengine", "mmcv", "mmcv-lite", "mmsegmentation") if n in versions]
    forks = [name for name in versions if name.startswith("onedl-")]
    if originals and forks:
        yield Problem(
            f"{', '.join(originals)} and their forks {', '.join(forks)} are both installed and "
            "overwrite each other's files.",
            f"pip uninstall -y {' '.join(originals + forks)}, then install one set again",
        )
    if "mmcv" in versions and "mmcv-lite" in versions:
        yield Problem(
            "mmcv and mmcv-lite are both installed and share one folder.",
            'pip uninstall -y mmcv mmcv-lite, then pip install "mmcv-lite>=2.1.0,<2.2.0"',
        )
    wheels = {name: version for name, version in versions.items() if name.startswith("opencv-")}
    if len(set(wheels.values())) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in wheels.items())
        newest = max(wheels.values(), key=_numbers)
        yield Problem(
            f"different versions of OpenCV share one cv2 folder: {listed}.",
            f"pip install --force-reinstall --no-deps {' '.join(f'{n}=={newest}' for n in wheels)}",
        )


def import_problems(load: Callable[[str], object] = importlib.import_module) -> Iterator[Problem]:
    """Yield what importing shows to be wrong; `load` imports a module by name."""
    try:
        load("cv2")
    except ImportError as error:
        yield _opencv_problem(str(error))
        return  # nothing of OpenMMLab imports without it
    try:
        load("torchvision")
    except (ImportError, RuntimeError) as error:
        mended = "operator torchvision::" in str(error)
        yield Problem(
            f"torchvision does not fit torch ({_first_line(error)})."
            + (" ttr_backbones mends its import; torchvision's own operators stay out." * mended),
            "install the pair that https://pytorch.org names, for a CPU from "
            "https://download.pytorch.org/whl/cpu",
            fatal=not mended,
        )
        if not mended:
            return
    from ttr_backbones.compat import prepare_mmseg

    try:
        prepare_mmseg()
        load("mmseg.models")
    except Exception as error:  # noqa: BLE001 -- whatever it is, it belongs in the report
        yield Problem(
            f"mmseg cannot be imported ({type(error).__name__}: {_first_line(error)}).",
            "pip install ttr_backbones into a fresh virtual environment",
        )


def _opencv_problem(error: str) -> Problem:
    if "libGL" in error or "libgthread" in error or "libglib" in error:
        return Problem(
            f"OpenCV misses a system library ({error}).",
            "apt-get install libgl1 libglib2.0-0; without root: pip install --force-reinstall "
            "--no-deps opencv-python-headless, of the version of opencv-python, installed last",
        )
    return Problem(
        f"OpenCV cannot be imported ({error}). Uninstalling one of two OpenCV wheels also removes "
        "the files of the other.",
        "pip install --force-reinstall --no-deps opencv-python-headless",
    )


def cv2() -> str:
    """Say which OpenCV `import cv2` finds, whichever wheel it came with."""
    module = importlib.import_module("cv2")
    return f"{module.__version__} in {module.__file__}"


def mmcv_kind() -> str:
    """Say whether mmcv's compiled operators are there."""
    if util.find_spec("mmcv._ext") is None:
        return "lite (no compiled operators; nothing here needs them)"
    return "full (with compiled operators)"


def device() -> str:
    """Say what torch would run on."""
    import torch

    if not torch.cuda.is_available():
        return f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    listed = ", ".join(f"{card.name} ({card.total_memory / 2**30:.0f} GiB)" for card in cards)
    return f"CUDA {torch.version.cuda}: {listed}"


def configs() -> str:
    """Say where the shipped configs are and how many there are of each axis."""
    from ttr_backbones.package_data import configs_dir
    from ttr_backbones.recipes import AXES, axis_files

    numbers = ", ".join(f"{len(axis_files(axis))} {axis}" for axis in AXES)
    return f"{numbers} in {configs_dir()}"


def export() -> str:
    """Say which files `ttrb export` can write here."""
    from ttr_backbones.export.packages import PACKAGES, missing_packages_reason

    reasons = {suffix: missing_packages_reason(suffix) for suffix in PACKAGES}
    return "; ".join(f"{suffix}: {reason or 'yes'}" for suffix, reason in reasons.items())


def _or_error(describe: Callable[[], str]) -> str:
    try:
        return describe()
    except Exception as error:  # noqa: BLE001 -- a doctor that falls ill tells nothing
        return f"unknown ({type(error).__name__}: {_first_line(error)})"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _numbers(version: str) -> tuple[int, ...]:
    """'2.1.0+cpu' -> (2, 1, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))
