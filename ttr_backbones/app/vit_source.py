"""From MODEL or CONFIG on the command line to a ViT, its weights and its test-time registers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ttr_backbones.errors import InputError, MissingFileError, unknown_name

if TYPE_CHECKING:
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.repairs.choice import Choice


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

    def choice(self) -> Choice | None:
        """Look the config's repair up.

        Raises:
            InputError: see `repair_options`.
        """
        from ttr_backbones.repairs.choice import repair_options

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

    def register_neurons(self, given: str | Path | None) -> RegisterNeurons:
        """Load the list `given`, else the config's, else the one that ships for the model.

        Raises:
            MissingFileError: no such file.
            InputError: no list, or one that cannot be read.
        """
        from ttr_backbones.registers import RegisterNeurons

        if given is None:
            choice = self.choice()
            if choice is not None and choice.neurons is not None:
                return choice.neurons
        return RegisterNeurons.named("auto" if given is None else given, self.model)


def vit_source(args: argparse.Namespace) -> VitSource:
    """Tell whether `args.model` is a timm name or a config, and read it.

    Raises:
        MissingFileError: neither, or --checkpoint does not exist.
        InputError: --cfg-options without a config, or a config without a `TimmViT` with weights.
    """
    import ttr_backbones.registers  # noqa: F401 -- makes timm importable beside a CPU-only torch
    import timm  # isort: skip

    checkpoint: Path | None = args.checkpoint
    if checkpoint is not None and not checkpoint.is_file():
        raise MissingFileError(f"--checkpoint {checkpoint}: no such file")
    name: str = args.model
    hub = name.startswith(("hf-hub:", "local-dir:"))
    if hub or (timm.is_model(name.partition(".")[0]) and not Path(name).is_file()):
        if args.cfg_options:
            raise InputError(f"--cfg-options goes with a config, and {name} is a timm model")
        return VitSource(name, checkpoint)
    return _from_config(name, args.cfg_options, checkpoint)


def _from_config(name: str, options: list[str] | None, checkpoint: Path | None) -> VitSource:
    from ttr_backbones.app.config import apply_options, type_name
    from ttr_backbones.backbones.repair_options import refuse_registers
    from ttr_backbones.recipes import all_names, axis_files, named_config

    try:
        cfg = named_config(name)
    except MissingFileError as error:
        if name.endswith(".py") or "/" in name:
            raise
        import timm

        if any(name.endswith(f"_{protocol}") for protocol in axis_files("protocols")):
            raise  # it says which part of the name is wrong
        known = [*map(str, all_names()), *axis_files("protocols"), *timm.list_models("*vit*")]
        told = unknown_name("timm model or config", name.partition(".")[0], known)
        raise MissingFileError(told) from error
    path = cfg.filename
    apply_options(cfg, options)
    backbone = (cfg.get("model") or {}).get("backbone") or {}
    if type_name(backbone) != "TimmViT":
        raise InputError(
            f"{path}: expected a config whose model.backbone is a TimmViT, got "
            f"{type_name(backbone) or 'none'}"
        )
    own = backbone.get("checkpoint")
    if checkpoint is None and own is not None:
        checkpoint = Path(own).expanduser()
        if not checkpoint.is_file():
            raise MissingFileError(f"{path}: no file at model.backbone.checkpoint={own}")
    if checkpoint is None and not backbone.get("pretrained"):
        raise InputError(
            f"{path}: the backbone has no weights, neither `checkpoint` nor `pretrained`: give a "
            "weight file as --checkpoint FILE"
        )
    refuse_registers(backbone.get("registers"))
    kwargs = backbone.get("model_kwargs") or {}
    return VitSource(backbone["model"], checkpoint, kwargs, backbone.get("repair"))
