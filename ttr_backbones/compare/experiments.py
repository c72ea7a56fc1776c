"""One experiment: the configs that differ in nothing but their registers.

Of a recipe, these are its backbone without a repair, with one, and the backbone that is the same
but for trained registers. A config of the user's is an experiment by itself.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ttr_backbones.app.config import datasets, type_name
from ttr_backbones.backbones import create_vit
from ttr_backbones.backbones.repair_options import is_auto, look_up
from ttr_backbones.compare.options import Options
from ttr_backbones.compare.published import Published, papers_number, published_for
from ttr_backbones.errors import InputError
from ttr_backbones.recipes import (
    RecipeName,
    backbone_facts,
    parse_name,
    protocol_facts,
    trained_siblings,
)

KINDS = ("none", "test_time", "trained")
_REPAIR = "ttr"


class LeftOutError(InputError):
    """An experiment does not exist with this kind of registers."""


@dataclass(frozen=True)
class Experiment:
    """A backbone on a task.

    Args:
        name: the configs' common name.
        configs: kind of registers -> recipe, or the file of a config; at least one of the three.
    """

    name: str
    configs: dict[str, RecipeName | Path]

    def config(self, kind: str, options: Options) -> Config:
        """Load the config with this kind of registers.

        Raises:
            LeftOutError: there is no such model or no list of register neurons for it.
            InputError: the config cannot be compared; see also `Options.load`.
        """
        trained = kind == "trained"
        order = ("trained", "none") if trained else (kind, *KINDS[:2])
        source = next(self.configs[key] for key in order if key in self.configs)
        cfg = options.load(source, self.name)
        if type_name(cfg.model.get("backbone") or {}) != "TimmViT":
            raise InputError(
                f"{source}: ttrb compare needs model.backbone.type='TimmViT', whose repair it sets"
            )
        backbone = cfg.model.backbone
        if _has_trained_registers(backbone) != trained:
            has = "no backbone with" if trained else f"{backbone.model} has"
            raise LeftOutError(f"{has} trained registers")
        repair = None
        if kind == "test_time":
            repair = {"type": "test_time"} | dict(backbone.get("repair") or {})
            if repair["type"] == "test_time":
                repair = {"neurons": "auto"} | repair
            if is_auto(repair):
                _require_shipped(backbone.model, repair)
        backbone["repair"] = repair
        return cfg

    def label(self, cfg: Config) -> tuple[str, str]:
        """Return (backbone, task) in words: of the recipe, or else of the config."""
        recipe = self._recipe
        if recipe is not None:
            title = backbone_facts(recipe.backbone).facts.title
            return title, protocol_facts(recipe.protocol).title
        kinds = dict.fromkeys(type_name(d) for _, d in datasets(cfg, ("test_dataloader",)))
        task = f"{type_name(cfg.model)}, {', '.join(kinds)}"
        return cfg.model.backbone.model, (cfg.get("protocol") or {}).get("title", task)

    def published(self, kind: str, metric: str) -> Published | None:
        """Return what was published for this kind of registers.

        Args:
            kind: one of `KINDS`.
            metric: name of the number.
        """
        numbers = {
            key: published_for(recipe, metric)
            for key, recipe in self.configs.items()
            if isinstance(recipe, RecipeName)
        }
        return papers_number(numbers, kind)

    def needs_tta(self, cfg: Config) -> bool:
        """Return whether the protocol averages over scales and flips.

        A config of the user's says it as the files of protocols do, `protocol=dict(tta=True)`.
        """
        if self._recipe is not None:
            return protocol_facts(self._recipe.protocol).tta
        return bool((cfg.get("protocol") or {}).get("tta"))

    @property
    def _recipe(self) -> RecipeName | None:
        source = self.configs["none"]
        return source if isinstance(source, RecipeName) else None


def _require_shipped(model: str, repair: dict[str, Any]) -> None:
    try:
        look_up(model, repair)
    except InputError as error:
        raise LeftOutError(str(error)) from error


def _has_trained_registers(backbone: dict[str, Any]) -> bool:
    return _trained(backbone["model"], json.dumps(backbone.get("model_kwargs") or {}))


@functools.cache
def _trained(model: str, kwargs: str) -> bool:
    """Ask the architecture, which is made without memory for its weights."""
    with torch.device("meta"):
        return create_vit(model, model_kwargs=json.loads(kwargs)).num_reg_tokens > 0


def find_experiments(
    names: Iterable[str], *, backbone: str | None = None, repair: str | None = None
) -> list[Experiment]:
    """Return the experiment of each config, named by a path or as a recipe.

    Configs of one experiment count once.

    Args:
        names: the configs.
        backbone: of those that are protocols' names alone.
        repair: in place of the test-time register.

    Raises:
        InputError: no such config; two experiments of one name in different folders.
    """
    found: dict[str, Experiment] = {}
    for name in names:
        experiment = _experiment(name, backbone, repair)
        known = found.setdefault(experiment.name, experiment)
        if known != experiment:
            raise InputError(
                f"two different configs are called {experiment.name}: "
                f"{', '.join(map(str, [*known.configs.values(), *experiment.configs.values()]))}. "
                "Rename one: the name tells their results apart."
            )
    return list(found.values())


def _experiment(name: str, backbone: str | None, repair: str | None) -> Experiment:
    path = Path(name).expanduser()
    if path.is_file():
        return Experiment(path.stem, {"none": path.resolve()})
    asked = parse_name(name, backbone=backbone, repair=repair)
    parent = backbone_facts(asked.backbone).facts.get("parent") or asked.backbone
    plain = RecipeName(parent, None, asked.protocol)
    configs: dict[str, RecipeName | Path] = {
        "none": plain,
        "test_time": RecipeName(parent, asked.repair or _REPAIR, asked.protocol),
    }
    for sibling in trained_siblings(parent):
        configs["trained"] = RecipeName(sibling, None, asked.protocol)
    return Experiment(str(plain), configs)
