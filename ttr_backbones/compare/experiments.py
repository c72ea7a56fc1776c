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
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.compare.published import Published, papers_number, published_for
from ttr_backbones.compare.repair_names import (
    NONE,
    TRAINED,
    config_of_repair,
    is_control,
    is_path,
    repair_file,
)
from ttr_backbones.errors import InputError
from ttr_backbones.recipes import (
    RecipeName,
    backbone_facts,
    named_config,
    parse_name,
    protocol_facts,
    repair_config,
    trained_siblings,
)
from ttr_backbones.repairs.controls import split_control
from ttr_backbones.repairs.from_config import DEFAULT, is_auto, repair_options
from ttr_backbones.vits.family import family_of


class LeftOutError(InputError):
    """An experiment does not exist with this repair."""


@dataclass(frozen=True)
class Experiment:
    """A backbone on a task.

    Args:
        name: the configs' common name.
        configs: kind -> recipe, or the file of a config; at least that of "none". A kind is
            "none", "trained" (with registers), the type of a repair, or the name of its file.
    """

    name: str
    configs: dict[str, RecipeName | Path]

    def config(self, kind: str, options: ConfigChanges) -> Config:
        """Load the config with this repair.

        Raises:
            LeftOutError: there is no such model or no list of register neurons for it.
            InputError: the config cannot be compared; see also `ConfigChanges.load`.
        """
        trained = kind == TRAINED
        source = self._source(kind)
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
        if kind not in (NONE, TRAINED):
            repair = _repair(kind, dict(backbone.get("repair") or {}))
            _require_shipped(backbone.model, repair)
        backbone["repair"] = repair
        return cfg

    def kinds(self, options: ConfigChanges) -> list[str]:
        """Return the kinds to compare where none are named: as it is, repaired, trained."""
        named = [kind for kind in self.configs if kind not in (NONE, TRAINED)]
        if not named:
            cfg = options.load(self.configs[NONE], self.name)
            repair = (cfg.model.get("backbone") or {}).get("repair") or {}
            named = [repair.get("type") or DEFAULT]
        return [NONE, *named, TRAINED]

    def _source(self, kind: str) -> RecipeName | Path:
        """The config to begin with."""
        plain = self.configs[NONE]
        kind, _ = split_control(kind)
        if kind in self.configs or not isinstance(plain, RecipeName):
            return self.configs.get(kind, plain)
        file = repair_file(kind)
        return plain if file is None else RecipeName(plain.backbone, file, plain.protocol)

    def label(self, cfg: Config) -> tuple[str, str]:
        """Return the labels of (backbone, task): of the recipe, or else of the config.

        Where a recipe is tested on another list of images than its own, the task's label says so.
        """
        recipe = self._recipe
        if recipe is not None:
            title = backbone_facts(recipe.backbone).facts.title
            changed = _other_images(cfg, named_config(recipe))
            return title, ", ".join([protocol_facts(recipe.protocol).title, *changed])
        kinds = dict.fromkeys(type_name(d) for _, d in datasets(cfg, ("test_dataloader",)))
        task = f"{type_name(cfg.model)}, {', '.join(kinds)}"
        return cfg.model.backbone.model, (cfg.get("protocol") or {}).get("title", task)

    def published(self, kind: str, metric: str) -> Published | None:
        """Return what was published for this repair.

        Args:
            kind: see `compare.repair_names`.
            metric: name of the number.
        """
        if is_control(kind):
            return None
        numbers = {
            key: published_for(recipe, metric)
            for key, recipe in {**self.configs, kind: self._source(kind)}.items()
            if isinstance(recipe, RecipeName) and (key == NONE or recipe != self.configs[NONE])
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
        source = self.configs[NONE]
        return source if isinstance(source, RecipeName) else None


def _other_images(cfg: Config, packaged: Config) -> list[str]:
    """Options by which the images of a test differ from those of the packaged config."""
    used, usual = (
        dict(next((d for _, d in datasets(c, ("test_dataloader",))), {})) for c in (cfg, packaged)
    )
    keys = ("ann_file", "indices")
    return [f"{key}={used.get(key)}" for key in keys if used.get(key) != usual.get(key)]


def _repair(kind: str, configured: dict[str, Any]) -> dict[str, Any]:
    """The config's repair if it is of this kind, else that of the file, or what ships."""
    wanted = config_of_repair(kind, configured)
    if is_path(kind):
        return wanted
    return (
        wanted | configured if configured.get("type", wanted["type"]) == wanted["type"] else wanted
    )


def _require_shipped(model: str, repair: dict[str, Any]) -> None:
    if not is_auto(repair):
        return
    try:
        repair_options(model, repair)
    except InputError as error:
        raise LeftOutError(str(error)) from error


def _has_trained_registers(backbone: dict[str, Any]) -> bool:
    return _trained(backbone["model"], json.dumps(backbone.get("model_kwargs") or {}))


@functools.cache
def _trained(model: str, kwargs: str) -> bool:
    """Ask the architecture, which is made without memory for its weights."""
    with torch.device("meta"):
        vit = create_vit(model, model_kwargs=json.loads(kwargs))
    return family_of(vit).layout(vit).num_trained > 0


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
        if repair is not None:
            raise InputError(
                f"--repair goes with names of recipes, and {path} is a config: set "
                "model.backbone.repair in it, or name the types to compare by --repairs"
            )
        return Experiment(path.stem, {NONE: path.resolve()})
    parsed = parse_name(name, backbone=backbone, repair=repair)
    parent = backbone_facts(parsed.backbone).facts.get("parent") or parsed.backbone
    plain = RecipeName(parent, None, parsed.protocol)
    repair = parsed.repair or repair_file(DEFAULT)
    configs: dict[str, RecipeName | Path] = {NONE: plain}
    if repair is not None:
        kind = repair_config(repair)["type"]
        # Two files may be of one type: what is not the first one goes by its name.
        configs[kind if repair_file(kind) in (None, repair) else repair] = RecipeName(
            parent, repair, parsed.protocol
        )
    for sibling in trained_siblings(parent):
        configs[TRAINED] = RecipeName(sibling, None, parsed.protocol)
    return Experiment(str(plain), configs)
