"""The backbone of a table's configs that an artifact belongs to, for what is fitted on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttr_backbones.compare.experiments import find_experiments
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.compare.repair_names import NONE
from ttr_backbones.errors import InputError
from ttr_backbones.repairs import load_repair
from ttr_backbones.vits.neurons import may_belong


def backbone_of_artifact(
    path: Path,
    configs: Sequence[str],
    options: ConfigChanges,
    *,
    backbone: str | None = None,
    repair: str | None = None,
) -> Any:
    """Return the `backbone` of the first config with this model, without a repair.

    Args:
        path: of the artifact.
        configs: files, or names of recipes.
        options: what changes the configs.
        backbone: of the configs that are protocols' names alone.
        repair: in place of the test-time register.

    Raises:
        InputError: no config has this model.
    """
    name = load_repair(path).model
    for experiment in find_experiments(configs, backbone=backbone, repair=repair):
        cfg = experiment.config(NONE, options)
        if may_belong(name, cfg.model.backbone.model):
            return cfg.model.backbone
    raise InputError(
        f"{path} belongs to {name!r}, which none of these configs has: leave it out, or add a "
        "config of that model"
    )
