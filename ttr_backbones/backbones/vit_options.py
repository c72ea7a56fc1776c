"""Options of `TimmViT` that depend on its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.neurons import model_name
from ttr_backbones.vits.pos_embed import PosEmbed, authors_resampling, is_open
from ttr_backbones.vits.tokens import Heads

_FACETS = Heads._fields


def require(what: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise InputError unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(unknown_name(what, str(value), map(str, choices)))


def authors_pos_embed(vit: Any, model: str, checkpoint: str | Path | None) -> PosEmbed:
    """Return how the authors of `model` resample its positions; say so where it is a guess."""
    _, named, tag = model.partition(".") if ":" not in model else ("", "", "")
    found = authors_resampling(vit, tag or model_name(vit).partition(".")[2])
    if checkpoint is not None and not named and is_open(vit):
        print_log(
            f"{model} names an architecture of DINO and of others, and the weights come from a "
            f"file: positions are resampled as {found!r}. With DINO's weights, name them "
            f"({model}.dino) or set pos_embed='dinov2'",
            logger="current",
        )
    return found


def check_options(backbone: Any, model: str) -> None:
    """Raise InputError for options that `model` cannot have."""
    facts = backbone.family.facts(backbone.vit)
    if backbone.cls_token == "concat" and not backbone.family.layout(backbone.vit).num_cls:
        raise InputError(f"cls_token='concat', but {model} has no CLS token")
    if backbone.cls_token == "concat" and backbone.facet != "token":
        raise InputError(f"cls_token='concat' goes with facet='token', not {backbone.facet!r}")
    if backbone.facet != "token":
        _check_widths(backbone)
    if backbone.pos_embed == "dinov2" and backbone.family.position_embedding(backbone.vit) is None:
        raise InputError(
            f"pos_embed='dinov2', but {model} has no position embedding that could be resampled "
            "(its positions turn queries and keys): leave pos_embed out"
        )
    if backbone.pos_embed == "dinov2" and not facts.prefix_has_positions:
        raise InputError(
            f"pos_embed='dinov2', but the prefix of {model} has no position embedding (as in "
            "DINOv2's models with registers): use pos_embed='timm'"
        )
    if backbone.final_norm and backbone.facet == "token" and not facts.norms_tokens:
        raise InputError(
            f"final_norm=True, but {model} has no norm that applies to every token (it pools "
            "first): use final_norm=False"
        )


def _check_widths(backbone: Any) -> None:
    """Raise InputError unless the facet is as wide in all blocks that are taken."""
    blocks, at = backbone.family.blocks(backbone.vit), _FACETS.index(backbone.facet)
    widths = {i: backbone.family.qkv_widths(blocks[i])[at] for i in backbone.out_indices}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"block {i}: {width}" for i, width in widths.items())
        raise InputError(
            f"facet={backbone.facet!r} has other widths in other blocks ({listed}), as some have "
            "fewer heads of keys and values than of queries: set out_indices to blocks of one width"
        )
