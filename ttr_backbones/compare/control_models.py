"""The model of a table's configs that an artifact belongs to, for what is fitted on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.vit_source import config_source, vit_with_classifier
from ttr_backbones.compare.experiments import find_experiments
from ttr_backbones.compare.kinds import NONE
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.errors import InputError
from ttr_backbones.repairs import load_repair
from ttr_backbones.vits.neurons import may_belong


def model_of_artifact(
    path: Path,
    configs: Sequence[str],
    options: ConfigChanges,
    *,
    backbone: str | None = None,
    repair: str | None = None,
) -> nn.Module:
    """Make the model, on its device and without a repair.

    Args:
        path: of the artifact.
        configs: as in `make_plan`, also what follows.
        options: likewise.
        backbone: likewise.
        repair: likewise.

    Raises:
        InputError: no config has this model.
    """
    name = load_repair(path).model
    for experiment in find_experiments(configs, backbone=backbone, repair=repair):
        cfg = experiment.config(NONE, options)
        if may_belong(name, cfg.model.backbone.model):
            source = config_source(cfg.model.backbone)
            return vit_with_classifier(source).to(choose_device(None))
    raise InputError(f"{path} belongs to {name!r}, which none of these configs has")
