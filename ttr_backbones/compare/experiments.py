"""One experiment: the configs that differ in nothing but their registers, found by their names.

`dinov2_vitl14_linear_ade20k.py`, `dinov2_vitl14_ttr_linear_ade20k.py` and
`dinov2_vitl14_reg4_linear_ade20k.py` in one folder are the experiment `dinov2_vitl14_linear_ade20k`
with no registers, with a test-time register and with trained ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ttr_backbones.backbones.register_options import is_auto, look_up
from ttr_backbones.cli.config import datasets, find_config, type_name
from ttr_backbones.compare.options import Options
from ttr_backbones.compare.published import (
    Published,
    docstring,
    needs_tta,
    papers_number,
    title,
)
from ttr_backbones.errors import InputError

KINDS = ("none", "test_time", "trained")
_MARK = re.compile(r"_(ttr|reg4)(?=_|$)")
_KIND = {(): "none", ("ttr",): "test_time", ("reg4",): "trained"}


class LeftOutError(InputError):
    """An experiment does not exist with this kind of registers."""


@dataclass(frozen=True)
class Experiment:
    """A backbone on a task.

    Args:
        name: the configs' common name.
        files: kind of registers -> config file; at least one of the three.
    """

    name: str
    files: dict[str, Path]

    def config(self, kind: str, options: Options) -> Config:
        """Load the config with this kind of registers.

        Raises:
            LeftOutError: there is no such model or no list of register neurons for it.
            InputError: the config cannot be compared; see also `Options.load`.
        """
        trained = kind == "trained"
        order = ("trained", "none") if trained else (kind, *KINDS[:2])
        file = next((self.files[key] for key in order if key in self.files), None)
        if file is None:
            raise LeftOutError("only a config of the model with trained registers was found")
        cfg = options.load(file, self.name)
        if type_name(cfg.model.get("backbone") or {}) != "TimmViT":
            raise InputError(
                f"{file}: ttrb compare needs model.backbone.type='TimmViT', whose registers it sets"
            )
        backbone = cfg.model.backbone
        if bool(re.search(r"_reg\d", backbone.model)) != trained:
            has = "no config of a model with" if trained else f"{backbone.model} has"
            raise LeftOutError(f"{has} trained registers")
        registers = None
        if kind == "test_time":
            registers = dict(backbone.get("registers") or {})
            if registers.get("form") != "bias":
                registers = {"neurons": "auto"} | registers
            if is_auto(registers):
                _require_shipped(backbone.model, registers)
        backbone["registers"] = registers
        return cfg

    def label(self, cfg: Config) -> tuple[str, str]:
        """Return (backbone, task) in words: of the docstring, or else of the config."""
        file = next(self.files[kind] for kind in KINDS if kind in self.files)
        kinds = dict.fromkeys(type_name(d) for _, d in datasets(cfg, ("test_dataloader",)))
        told = title(docstring(file))
        return told or (cfg.model.backbone.model, f"{type_name(cfg.model)}, {', '.join(kinds)}")

    def published(self, kind: str) -> Published | None:
        """Return what was published for this kind of registers."""
        return papers_number({kind: docstring(file) for kind, file in self.files.items()}, kind)

    def needs_tta(self) -> bool:
        """Return whether the published protocol averages over scales and flips."""
        return any(needs_tta(docstring(file)) for file in self.files.values())


def _require_shipped(model: str, registers: dict[str, Any]) -> None:
    try:
        look_up(model, registers)
    except InputError as error:
        raise LeftOutError(str(error)) from error


def find_experiments(names: Iterable[str]) -> list[Experiment]:
    """Return the experiment of each config, named by a path or as `find_config` finds it.

    Configs of one experiment count once.

    Raises:
        InputError: no such config; two experiments of one name in different folders.
    """
    found: dict[str, Experiment] = {}
    for name in names:
        experiment = _experiment(find_config(name))
        known = found.setdefault(experiment.name, experiment)
        if known != experiment:
            raise InputError(
                f"two different configs are called {experiment.name}: "
                f"{', '.join(map(str, [*known.files.values(), *experiment.files.values()]))}. "
                "Rename one: the name tells their results apart."
            )
    return list(found.values())


def _experiment(path: Path) -> Experiment:
    path = path.resolve()
    if tuple(_MARK.findall(path.stem)) not in _KIND:
        raise InputError(
            f"{path}: _ttr and _reg4 in a config's name tell its registers, one at most; this name "
            "has several"
        )
    name = _MARK.sub("", path.stem)
    files = {
        _KIND[marks]: file
        for file in sorted(path.parent.glob(f"*{path.suffix}"))
        if _MARK.sub("", file.stem) == name and (marks := tuple(_MARK.findall(file.stem))) in _KIND
    }
    return Experiment(name, files)
