"""Position embeddings at any grid, resampled as the model's authors do and once per size."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any, Literal, NamedTuple

import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.models import get_arch_pretrained_cfgs
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import Grid

PosEmbed = Literal["dinov2", "timm", "transformers"]
_DINOV2 = frozenset(f"vit_{size}_patch14_dinov2" for size in ("small", "base", "large", "giant"))
_DINO = "dino"  # timm's tag; DINO's repository resamples as DINOv2's does
OFFSET = 0.1  # that DINOv2 adds to a size before it makes a scale factor of it
_KEPT = 16  # tables in memory; one of ViT-L at 518 px takes 5.6 MB


class Positions(NamedTuple):
    """The positions of a grid of patches.

    Args:
        table: added to the tokens, see `position_table`.
        rotation: what attention turns queries and keys by, see `Family.rotation`.
    """

    table: Tensor | None
    rotation: Tensor | None


def positions_of(vit: Any, grid: Grid, how: PosEmbed) -> Positions:
    """Make the positions of a grid (h, w)."""
    return Positions(position_table(vit, grid, how), family_of(vit).rotation(vit, grid))


def position_table(vit: Any, grid: Grid, how: PosEmbed) -> Tensor | None:
    """Resample the position embedding to a grid.

    Args:
        vit: the model.
        grid: (h, w) in patches.
        how: "timm": bicubic with antialias. "dinov2", as its repository does for models without
            registers: without antialias, by a scale factor whose numerator has an offset of 0.1;
            at 224 px the features differ from timm's by 0.15. "transformers": without antialias, to
            the size. The last two resample nothing at the model's own grid.

    Returns:
        [1, h * w, C], with rows for the prefix before them where it has positions; None for a
        model without position embedding.
    """
    family = family_of(vit)
    stored, facts = family.position_embedding(vit), family.facts(vit)
    if stored is None:
        return None
    old = facts.grid
    num = family.num_prefix(vit) if facts.prefix_has_positions else 0
    if how == "timm":
        return resample_abs_pos_embed(stored, list(grid), list(old), num_prefix_tokens=num)
    if grid == old:
        return stored
    h, w = grid
    square = stored[:, num:].float().unflatten(1, old).permute(0, 3, 1, 2)
    to: dict[str, Any] = {"size": (h, w)}
    if how == "dinov2":
        to = {"scale_factor": ((h + OFFSET) / old[0], (w + OFFSET) / old[1])}
    resampled = F.interpolate(square, **to, mode="bicubic", antialias=False)
    rows = resampled.permute(0, 2, 3, 1).reshape(1, h * w, -1).to(stored.dtype)
    return torch.cat([stored[:, :num], rows], dim=1)


def authors_resampling(vit: Any, tag: str) -> PosEmbed:
    """Return how the authors of a checkpoint resample its position embedding.

    Args:
        vit: the model; its architecture and options decide for DINOv2, whose models with registers
            are resampled as timm does.
        tag: of the weights, which alone tells DINO's from others of the same architecture.
    """
    family = family_of(vit)
    if family.resampling(vit) is not None:
        return "transformers"
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
    """Positions of a frozen model by grid; those of the sixteen grids used last are kept.

    They are made anew when what they are made of is another tensor, or was changed in place.
    """

    def __init__(self, how: PosEmbed) -> None:
        self.how = how
        self._tables: OrderedDict[Any, tuple[Positions, list[Tensor]]] = OrderedDict()

    def __call__(self, vit: Any, grid: Grid) -> Positions:
        """Return the positions of `grid`, see `positions_of`."""
        made_of = family_of(vit).position_tensors(vit)
        # A compiler keeps nothing between calls, a trained embedding changes at every step, and
        # RoPE may be drawn anew while training.
        trained = vit.training or any(tensor.requires_grad for tensor in made_of)
        if trained or not made_of or torch.compiler.is_compiling():
            return positions_of(vit, grid, self.how)
        key = (grid, *map(_stamp, made_of))
        if key not in self._tables:
            with torch.no_grad(), _without_autocast(made_of[0].device.type):
                positions = positions_of(vit, grid, self.how)
            # Detached, for a compiler tells parameters, of the model's own grid, from tables. What
            # they are made of is kept too: else another tensor could come to lie at its address.
            detached = Positions(*(None if each is None else each.detach() for each in positions))
            self._tables[key] = detached, [tensor.detach() for tensor in made_of]
            if len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key][0]


def _without_autocast(device: str) -> contextlib.AbstractContextManager[Any]:
    """In full precision whatever the surroundings, for they may be others the next time."""
    if not torch.amp.is_autocast_available(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def _stamp(tensor: Tensor) -> tuple[Any, ...]:
    version = tensor._version  # noqa: SLF001 (torch has no public name for it)
    return tensor.data_ptr(), version, tensor.device, tensor.dtype
