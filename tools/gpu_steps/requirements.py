"""What the check needs of Python packages, besides what a machine for deep learning has."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OWN = ("timm", "mmengine", "mmcv-lite", "mmsegmentation", "albumentations", "ftfy", "regex")
_OPENCV = ("opencv-python-headless", "opencv-python")
STANDARD = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "matplotlib",
    "pillow",
    "safetensors",
    "huggingface-hub",
    "tensorboard",
    "pytest",
    "pytest-timeout",
)


def requirements() -> list[str]:
    """NAME==VERSION of every package to bring, none of which needs its dependencies installed.

    Versions are those that are installed here. OpenCV is the headless one: the other one needs
    libraries for windows. What the standard packages need themselves is left out.
    """
    standard = set(_with_dependencies(STANDARD))
    opencv = {name for name in _with_dependencies(OWN) if name.startswith("opencv-")}
    wanted = sorted(set(_with_dependencies(OWN)) - standard - opencv)
    version = next(filter(None, map(_version, _OPENCV)), None)
    return [f"{name}=={_version(name)}" for name in wanted if _version(name)] + [
        f"{_OPENCV[0]}=={version}" if version else _OPENCV[0]
    ]


def _with_dependencies(names: tuple[str, ...]) -> Iterator[str]:
    """The packages and all that they need, each once."""
    seen: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        try:
            needed = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
        waiting += [
            canonicalize_name(requirement.name)
            for requirement in needed
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
