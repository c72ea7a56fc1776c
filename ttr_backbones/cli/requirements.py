"""Which other packages, in which versions, the installed ttr_backbones declares to need."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name

ALTERNATIVES = {
    "mmengine": ("onedl-mmengine",),
    "mmcv-lite": ("mmcv", "onedl-mmcv"),
    "mmsegmentation": ("onedl-mmsegmentation",),
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python"),
}
"""Distributions that do for a declared one: they install the same modules."""


@dataclass(frozen=True)
class DeclaredRequirement:
    """One dependency of this package.

    Args:
        names: The distribution, then those that do instead.
        specifier: The versions, as in pyproject.toml: `>=1.0,<2`; empty for any.
        extra: The extra that needs it; None for a plain installation.
    """

    names: tuple[str, ...]
    specifier: str
    extra: str | None

    def accepts(self, name: str, version: str) -> bool:
        """Say whether this version of one of `names` will do."""
        if name.startswith("onedl-"):
            return True  # the forks count their versions in their own way
        return SpecifierSet(self.specifier).contains(version, prereleases=True)


def declared_requirements() -> list[DeclaredRequirement]:
    """Return the dependencies that apply to this Python, then those of the extras.

    Raises:
        PackageNotFoundError: ttr_backbones is imported from a folder that is not installed.
    """
    distribution = metadata.distribution("ttr_backbones")
    extras = [None, *(distribution.metadata.get_all("Provides-Extra") or [])]
    requirements = [Requirement(line) for line in distribution.requires or []]
    found: dict[tuple[str, str], DeclaredRequirement] = {}
    for extra in extras:
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""}):
                name = canonicalize_name(requirement.name)
                specifiers = sorted(requirement.specifier, key=_lower_bound_first)
                declared = DeclaredRequirement(
                    names=(name, *ALTERNATIVES.get(name, ())),
                    specifier=",".join(map(str, specifiers)),
                    extra=extra,
                )
                found.setdefault((name, declared.specifier), declared)  # extras share packages
    return list(found.values())


def _lower_bound_first(specifier: Specifier) -> tuple[bool, str]:
    return specifier.operator != ">=", str(specifier)
