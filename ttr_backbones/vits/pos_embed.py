"""Position embeddings at any grid, resampled as the model's authors do and once per size."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.models import get_arch_pretrained_cfgs
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import Grid

PosEmbed = Literal["dinov2", "timm"]
_DINOV2 = frozenset(f"vit_{size}_patch14_dinov2" for size in ("small", "base", "large", "giant"))
_DINO = "dino"  # timm's tag; DINO's repository resamples as DINOv2's does
OFFSET = 0.1  # that DINOv2 adds to a size before it makes a scale factor of it
_KEPT = 16  # tables in memory; one of ViT-L at 518 px takes 5.6 MB


def position_table(vit: Any, grid: Grid, how: PosEmbed) -> Tensor | None:
    """Resample the position embedding to a grid.

    Args:
        vit: the model.
        grid: (h, w) in patches.
        how: "timm": bicubic with antialias. "dinov2", as its repository does for models without
            registers: without antialias, by a scale factor whose numerator has an offset of 0.1;
            at 224 px the features differ from timm's by 0.15. At the model's own grid nothing is
            resampled.

    Returns:
        [1, h * w, C], with rows for the prefix before them where it has positions; None for a
        model without position embedding.
    """
    family = family_of(vit)
    own, facts = family.position_embedding(vit), family.facts(vit)
    if own is None:
        return None
    old = facts.grid
    num = family.num_prefix(vit) if facts.prefix_has_positions else 0
    if how == "timm":
        return resample_abs_pos_embed(own, list(grid), list(old), num_prefix_tokens=num)
    if grid == old:
        return own
    h, w = grid
    square = own[:, num:].float().unflatten(1, old).permute(0, 3, 1, 2)
    scale = ((h + OFFSET) / old[0], (w + OFFSET) / old[1])
    resampled = F.interpolate(square, scale_factor=scale, mode="bicubic", antialias=False)
    rows = resampled.permute(0, 2, 3, 1).reshape(1, h * w, -1).to(own.dtype)
    return torch.cat([own[:, :num], rows], dim=1)


def authors_resampling(vit: Any, tag: str) -> PosEmbed:
    """Return how the authors of a checkpoint resample its position embedding.

    Args:
        vit: the model; its architecture and options decide for DINOv2, whose models with registers
            are resampled as timm does.
        tag: of the weights, which alone tells DINO's from others of the same architecture.
    """
    family = family_of(vit)
    if not family.facts(vit).prefix_has_positions or family.layout(vit).num_trained:
        return "timm"
    cfg = getattr(vit, "pretrained_cfg", None) or {}
    return "dinov2" if cfg.get("architecture") in _DINOV2 or tag == _DINO else "timm"


def is_open(vit: Any) -> bool:
    """Whether the weights of this architecture are resampled in different ways by their authors."""
    architecture = (getattr(vit, "pretrained_cfg", None) or {}).get("architecture")
    if not architecture or not timm.is_model(architecture):
        return False
    tags = [name.partition(".")[2] for name in get_arch_pretrained_cfgs(architecture)]
    return len({authors_resampling(vit, tag) for tag in tags}) > 1


class PositionTables:
    """Tables of a frozen model by grid; the sixteen used last are kept.

    A table is made anew when the embedding is another tensor, or was changed in place.
    """

    def __init__(self, how: PosEmbed) -> None:
        self.how = how
        self._tables: OrderedDict[Any, tuple[Tensor | None, Tensor | None]] = OrderedDict()

    def __call__(self, vit: Any, grid: Grid) -> Tensor | None:
        """Return the table for `grid`, see `position_table`."""
        own = family_of(vit).position_embedding(vit)
        # A compiler keeps nothing between calls, and a trained embedding changes at every step.
        if own is None or own.requires_grad or torch.compiler.is_compiling():
            return position_table(vit, grid, self.how)
        version = own._version  # noqa: SLF001 (torch has no public name for it)
        key = (grid, own.data_ptr(), version, own.device, own.dtype)
        if key not in self._tables:
            # Detached, for a compiler tells parameters, of the model's own grid, from tables. The
            # embedding is kept too: else another one could come to lie at its address.
            with torch.no_grad():
                table = position_table(vit, grid, self.how)
            self._tables[key] = None if table is None else table.detach(), own.detach()
            if len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key][0]
