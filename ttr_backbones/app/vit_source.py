"""From MODEL or CONFIG on the command line to a ViT, its weights and its repair."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.repairs.from_config import ConfiguredRepair


@dataclass(frozen=True)
class VitSource:
    """Where a ViT comes from.

    Args:
        model: timm name, as `create_vit` takes it.
        checkpoint: local weight file; None for the hub's weights.
        model_kwargs: more arguments of `timm.create_model`.
        repair: what a config gives as `model.backbone.repair`.
    """

    model: str
    checkpoint: Path | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    repair: Mapping[str, Any] | None = None

    def choice(self) -> ConfiguredRepair | None:
        """Look the config's repair up.

        Raises:
            InputError: see `repair_options`.
        """
        from ttr_backbones.repairs.from_config import repair_options

        return repair_options(self.model, self.repair)

    def create(self) -> nn.Module:
        """Make the ViT without test-time registers.

        Raises:
            InputError: see `create_vit`.
        """
        from ttr_backbones.backbones import create_vit

        return create_vit(
            self.model,
            pretrained=self.checkpoint is None,
            checkpoint=self.checkpoint,
            model_kwargs=self.model_kwargs,
        )

    def register_neurons(self, neurons: str | Path | None) -> RegisterNeurons:
        """Load the list `given`, else the config's, else the one that ships for the model.

        Raises:
            MissingFileError: no such file.
            InputError: no list, or one that cannot be read.
        """
        from ttr_backbones.registers import RegisterNeurons

        if neurons is None:
            choice = self.choice()
            if choice is not None and choice.neurons is not None:
                return choice.neurons
        return RegisterNeurons.named("auto" if neurons is None else neurons, self.model)


def vit_source(args: argparse.Namespace) -> VitSource:
    """Read what `args.model` names, a timm model or a config.

    Raises:
        MissingFileError: neither, or its weight file does not exist.
        InputError: --cfg-options without a config, or a config without a `TimmViT` with weights.
    """
    from ttr_backbones.app.model_or_config import read_backbone
    from ttr_backbones.backbones.repair_options import refuse_registers

    found = read_backbone(args.model, cfg_options=args.cfg_options, checkpoint=args.checkpoint)
    options = found.options
    refuse_registers(options.get("registers"))
    path = options.get("checkpoint")
    checkpoint = None if path is None else Path(path).expanduser()
    if checkpoint is None and not options.get("pretrained"):
        raise InputError(
            f"{found.name}: the backbone has no weights, neither `checkpoint` nor `pretrained`: "
            "give a weight file as --checkpoint FILE"
        )
    if checkpoint is not None and not checkpoint.is_file():
        raise MissingFileError(f"{found.name}: no file at model.backbone.checkpoint={path}")
    kwargs = options.get("model_kwargs") or {}
    return VitSource(options["model"], checkpoint, kwargs, options.get("repair"))


def config_source(backbone: Mapping[str, Any]) -> VitSource:
    """Read a config's `model.backbone`, without its repair.

    Raises:
        InputError: it has no weights.
    """
    checkpoint = backbone.get("checkpoint")
    if checkpoint is None and not backbone.get("pretrained"):
        raise InputError("the backbone has no weights")
    return VitSource(
        backbone["model"],
        None if checkpoint is None else Path(checkpoint).expanduser(),
        dict(backbone.get("model_kwargs") or {}),
    )


def vit_with_classifier(source: VitSource) -> nn.Module:
    """Make the ViT with its classifier if its weights have one."""
    import ttr_backbones.registers  # noqa: F401 -- makes timm importable beside a CPU-only torch
    from timm.models import get_pretrained_cfg, is_model  # isort: skip

    known = is_model(source.model.partition(".")[0])
    cfg = get_pretrained_cfg(source.model, allow_unregistered=True) if known else None
    classes = cfg.num_classes if cfg is not None else 0
    kwargs = {"num_classes": classes, **source.model_kwargs}
    try:
        return replace(source, model_kwargs=kwargs).create()
    except InputError:
        if source.checkpoint is None or not classes:
            raise
    # The file may hold the backbone alone; any other fault shows again.
    return source.create()
