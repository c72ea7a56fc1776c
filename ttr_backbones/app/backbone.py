"""The backbone that a user names, by a timm model or by a config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmseg.registry import MODELS

from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.app.model_or_config import read_backbone
from ttr_backbones.backbones import TimmViT
from ttr_backbones.repairs.from_config import parse_repair


class Normalised(NamedTuple):
    """A backbone and the normalisation of its images, RGB on the scale 0..255."""

    backbone: TimmViT
    mean: list[float]
    std: list[float]


def make_backbone(
    name: str,
    *,
    repair: str | None = None,
    checkpoint: str | Path | None = None,
    blocks: Sequence[int] | None = None,
    cfg_options: Sequence[str] | None = None,
) -> Normalised:
    """Make the backbone of a timm model (last block, after the final norm) or of a config.

    Args:
        name: tagged timm name, `hf-hub:...`, `local-dir:...`, `hf:...`, or a config or its
            packaged name.
        repair: see `parse_repair`; None leaves it to the config, and means "none" for a timm
            model.
        checkpoint: local weight file of the backbone, in place of the hub's.
        blocks: blocks whose output is taken; None leaves it to the config.
        cfg_options: changes to the config.

    Raises:
        MissingFileError: no such config, list or weight file.
        InputError: see `TimmViT` and `read_backbone`.
    """
    found = read_backbone(name, cfg_options=cfg_options, checkpoint=checkpoint)
    options, preprocessor = found.options, found.preprocessor
    if repair is not None:
        options["repair"] = parse_repair(repair, options.get("repair"))
    if blocks is not None:
        options["out_indices"] = tuple(blocks)
    with clear_config_errors():
        backbone: TimmViT = MODELS.build(options)
    return Normalised(
        backbone.eval(),
        list(preprocessor.get("mean") or backbone.mean),
        list(preprocessor.get("std") or backbone.std),
    )
