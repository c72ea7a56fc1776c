"""`.ci/oldest.txt`, which CI installs, pins the lower bounds that pyproject.toml declares."""

import itertools
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = itertools.chain(project["dependencies"], *extras)
    return [Requirement(line) for line in lines]


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned_on(python, pins):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    applying = [pin for pin in pins if not pin.marker or pin.marker.evaluate(environment)]
    versions = {pin.name: str(pin.specifier).removeprefix("==") for pin in applying}
    assert len(versions) == len(applying), f"two pins of one package on Python {python}"
    return versions


def test_oldest__is_the_declared_lower_bound(declared, pins):
    pinned = pinned_on(PYTHONS[0], pins)
    bounds = {
        (requirement.name, specifier.version)
        for requirement in declared
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }
    assert {name for name, _ in bounds} == {requirement.name for requirement in declared}
    assert bounds == {(name, pinned[name]) for name, _ in bounds}


@pytest.mark.parametrize("python", PYTHONS)
def test_oldest__is_allowed_and_complete(declared, pins, python):
    pinned = pinned_on(python, pins)
    refused = [r for r in declared if not r.specifier.contains(pinned.get(r.name, "0"))]
    assert refused == []
    assert pinned["opencv-python-headless"] == pinned["opencv-python"]  # they share one folder
