"""Blocks that change their patches by where these are in the image.

A block sees a sequence [B, N, C], of which nothing tells the grid: 12 patches may be 3 x 4 or 2 x
6. Who runs the blocks with a grid hands it on (`grid_argument`); in the model's own pass the
patch embedding notes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, mix
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.grid_argument import GridBlock
from ttr_backbones.vits.tokens import Grid


class GridNote:
    """The grid of the images of the pass that goes on; copied and pickled with the model."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid


class NotesGrid(Mixin):
    """A patch embedding that notes the grid of what it gives."""

    note: GridNote
    patch_map: Callable[[Tensor], Tensor]

    def restore(self) -> None:
        """Note nothing any more."""
        del self.note, self.patch_map

    def forward(self, images: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Images [B, 3, H, W] -> what the embedding gives, see `Family.patch_map`."""
        output: Tensor = super().forward(images, *args, **kwargs)
        patches = self.patch_map(output)
        if patches.ndim == 4:  # a model for images of one size lays them out flat
            self.note.grid = (patches.shape[1], patches.shape[2])
        return output


class PatchChange(Mixin, GridBlock):
    """A block whose patches are changed behind it; prefix tokens are not."""

    note: GridNote
    first_patch: int

    def restore(self) -> None:
        """Change nothing any more."""
        del self.note, self.first_patch

    def changed(self, patches: Tensor) -> Tensor:
        """[B, h, w, C] -> the same shape."""
        raise NotImplementedError

    def forward(self, x: Tensor, *args: Any, grid: Grid | None = None, **kwargs: Any) -> Tensor:
        """[B, P + N, C] -> the same shape."""
        x = super().forward(x, *args, **kwargs)
        prefix, patches = x[:, : self.first_patch], x[:, self.first_patch :]
        patches = patches.unflatten(1, self.note.grid if grid is None else grid)
        return torch.cat([prefix, self.changed(patches).flatten(1, 2)], dim=1)


def note_grid(vit: nn.Module) -> GridNote:
    """Let the patch embedding of `vit` note the grid of each pass, until `unmix_all`."""
    family = family_of(vit)
    embedding: Any = family.patch_embedding(vit)
    if not isinstance(embedding, NotesGrid):
        mix(embedding, NotesGrid)
        embedding.patch_map = family.patch_map
        embedding.note = GridNote(family.facts(vit).grid)
    note: GridNote = embedding.note
    return note


def change_patches(
    vit: nn.Module, block: int, kind: type[PatchChange], options: Mapping[str, Any]
) -> None:
    """Change the patches behind a block, until `unmix_all`.

    Args:
        vit: without registers.
        block: 0-based.
        kind: mixin of the block, which defines the change.
        options: attributes that it has then; tensors become buffers that are saved nowhere.

    Raises:
        InputError: no such block.
    """
    family = family_of(vit)
    blocks = family.blocks(vit)
    if not 0 <= block < len(blocks):
        raise InputError(f"no block {block}: the model has blocks 0..{len(blocks) - 1}")
    changed: Any = blocks[block]
    note = note_grid(vit)
    mix(changed, kind)
    changed.note = note
    changed.first_patch = family.num_prefix(vit)
    like = next(vit.parameters())
    for name, value in options.items():
        if isinstance(value, Tensor):
            changed.register_buffer(name, value.to(like), persistent=False)
        else:
            setattr(changed, name, value)
