"""The shape of the package: imports point one way, files are short, there are no drawers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ttr_backbones

PACKAGE = Path(ttr_backbones.__file__).parent


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if part_of(path) != "configs")
ROOT = {"errors", "packaged", "safe_load", "atomic"}

# What each part may import of the package; every part may import itself.
ARROWS = {
    "errors": set(),
    "packaged": {"errors"},
    "atomic": {"errors"},
    "safe_load": {"errors"},
    "compat": {"errors", "safe_load"},
    "registers": ROOT | {"compat"},
    "backbones": ROOT | {"compat", "registers"},
    "losses": ROOT | {"compat"},
    "heads": ROOT | {"compat", "losses"},
    "segmentors": ROOT | {"compat"},
    "datasets": ROOT | {"compat", "registers"},
    "evaluation": ROOT | {"compat", "engine"},
    "object_discovery": ROOT | {"compat", "registers", "backbones", "datasets"},
    "engine": ROOT | {"compat", "registers"},
    "probes": ROOT | {"compat", "backbones", "engine", "segmentors"},
    "report": ROOT | {"compat", "registers", "backbones", "engine", "evaluation"},
}
# They may use everything, and nothing uses them.
CLIENTS = {"bench", "cli", "compare", "demo", "export", "inference", "soak"}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module__imports_only_what_its_layer_may(path):
    part = part_of(path)
    if part in CLIENTS or part == "__init__":
        return
    used = {
        name.split(".")[1] for name in imported_modules(path) if name.startswith(f"{PACKAGE.name}.")
    }
    assert used <= ARROWS[part] | {part}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module__registers_know_torch_and_timm_only(path):
    if part_of(path) != "registers":
        return
    foreign = {name.split(".")[0] for name in imported_modules(path)}
    assert not foreign & {"mmengine", "mmcv", "mmseg", "matplotlib", "cv2"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module__is_short_and_no_drawer(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    assert not {"utils", "util", "helpers", "helper", "misc", "common"} & {
        path.stem,
        path.parent.name,
    }


@pytest.mark.parametrize(
    "module", ["ttr_backbones", "ttr_backbones.registers", "ttr_backbones.cli"]
)
def test_import__is_light(module):
    code = (
        f"import sys, {module}\n"
        "heavy = {'mmseg', 'mmengine', 'mmcv', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_import__the_package_alone_does_not_even_import_torch():
    code = "import sys, ttr_backbones; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_root__every_public_name_resolves():
    for name in ttr_backbones.__all__:
        assert getattr(ttr_backbones, name) is not None
    assert set(ttr_backbones.__all__) <= set(dir(ttr_backbones))
    with pytest.raises(AttributeError, match="no attribute 'TimmVit'"):
        ttr_backbones.TimmVit  # noqa: B018
