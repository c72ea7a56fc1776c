"""The last block of a CLIP as dense tasks use it: other attention, with or without the rest.

Of the block before, untouched, come q, k and v; heads stay apart and the output projection is kept:

| attention | weights of the values |
|---|---|
| vanilla | softmax(q k^T / sqrt d), as trained |
| value | none: every token keeps its own value (MaskCLIP, arXiv 2112.01071) |
| sclip | softmax(q q^T / sqrt d) + softmax(k k^T / sqrt d) (SCLIP, arXiv 2312.01597) |
| qq | softmax(q q^T / sqrt d) (ClearCLIP, arXiv 2407.12442) |
| naclip | softmax(k k^T / sqrt d + window), patches near each other (NACLIP, arXiv 2404.08181) |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.class_swap import Mixin, mix
from ttr_backbones.vits.constant_tokens import ConstantTokens
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.grid_argument import GridBlock
from ttr_backbones.vits.grid_blocks import GridNote, note_grid
from ttr_backbones.vits.tokens import Grid

LastBlock = Literal["own", "value", "naclip"]
LAST_BLOCKS: tuple[LastBlock, ...] = get_args(LastBlock)
BlockAttention = Literal["vanilla", "value", "sclip", "qq", "naclip"]
WINDOW_STD = 5.0  # of NACLIP's Gaussian window, in patches


@dataclass(frozen=True)
class DenseOptions:
    """What the last block does.

    Args:
        attention: see the table above.
        residual: add the attention to the block's input.
        mlp: keep the MLP and its own residual.
        register_keys: whether patches attend to registers: test-time, learned and trained ones.
    """

    attention: BlockAttention = "vanilla"
    residual: bool = True
    mlp: bool = True
    register_keys: bool = True


def change_last_block(
    vit: nn.Module,
    attention: BlockAttention = "vanilla",
    *,
    residual: bool = True,
    mlp: bool = True,
    register_keys: bool = True,
) -> None:
    """Let the last block of `vit` compute something else, until `unmix_all`.

    With the defaults nothing is changed. Registers have to be added before.

    Args:
        vit: the model; changed in place.
        attention: its kind, see the table above.
        residual: add the attention to the block's input.
        mlp: keep the MLP and its own residual.
        register_keys: whether patches attend to registers.

    Raises:
        InputError: no such attention; a block other than timm's `Block` with standard attention;
            one that a repair has changed, or constant keys that would have to be attended to.
    """
    if attention not in get_args(BlockAttention):
        raise InputError(unknown_name("attention of the last block", attention, _KINDS))
    options = DenseOptions(attention, residual, mlp, register_keys)
    family = family_of(vit)
    index = len(family.blocks(vit)) - 1
    block: Any = family.blocks(vit)[index]
    if isinstance(block, DenseLastBlock):
        _check_equal(block.dense, options)
        return
    if options == DenseOptions():
        return
    _check(block, index, options)
    layout, scale = family.layout(vit), family.scale(block)
    mix(block, DenseLastBlock)
    block.dense, block.scale = options, scale
    block.num_cls, block.first_patch = layout.num_cls, layout.first_patch
    block.note = note_grid(vit) if attention == "naclip" else None


_KINDS = get_args(BlockAttention)


def set_last_block(vit: nn.Module, kind: LastBlock) -> None:
    """Let the last block of `vit` give out its attention alone, until `unmix_all`.

    Args:
        vit: the model; changed in place.
        kind: "value" or "naclip", without residual and MLP; "own": nothing is changed.

    Raises:
        InputError: see `change_last_block`; no such kind, or a block with LayerScale.
    """
    if kind not in LAST_BLOCKS:
        raise InputError(f"last_block={kind!r}: expected {', '.join(map(repr, LAST_BLOCKS))}")
    if kind == "own":
        return
    blocks = family_of(vit).blocks(vit)
    if not isinstance(getattr(blocks[-1], "ls1", nn.Identity()), nn.Identity):
        raise InputError(
            f"last_block={kind!r} is for CLIP, whose blocks have no LayerScale, and block "
            f"{len(blocks) - 1} has one: use last_block='own'"
        )
    change_last_block(vit, kind, residual=False, mlp=False)


def _check(block: Any, index: int, options: DenseOptions) -> None:
    attention = getattr(block, "attn", None)
    gated = getattr(attention, "gate", None) is not None
    if not isinstance(block, Block) or not isinstance(attention, Attention) or gated:
        raise InputError(
            f"the last block with attention {options.attention!r} is for timm's VisionTransformer "
            f"with standard blocks, and block {index} is a {type(block).__name__} with "
            f"{type(attention).__name__}: leave the last block as it is (attention 'vanilla'), or "
            "take the same weights in timm"
        )
    if isinstance(block, Mixin):
        raise InputError(
            f"block {index} is changed by a repair already ({type(block).__name__}), and its "
            "attention cannot be changed too: use another repair, or attention 'vanilla'"
        )
    reads_keys = options.attention != "value" and options.register_keys
    if isinstance(attention, ConstantTokens) and reads_keys:
        raise InputError(
            f"block {index} has constant keys and values (repair 'bias'), which have no queries to "
            f"be compared with in attention {options.attention!r}: set register_keys=False, or "
            "take registers as tokens (repair 'test_time')"
        )


def _check_equal(present: DenseOptions, wanted: DenseOptions) -> None:
    if wanted != present:
        raise InputError(
            f"the last block is {_shown(present)} already, as its repair was trained for, and "
            f"{_shown(wanted)} is asked for: leave that out, or the repair"
        )


def _shown(options: DenseOptions) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in asdict(options).items())


class DenseLastBlock(Mixin, GridBlock):
    """timm's block with other attention, and maybe without residual or MLP."""

    dense: DenseOptions
    scale: float
    num_cls: int
    first_patch: int
    note: GridNote | None
    norm1: nn.Module
    attn: Any
    norm2: nn.Module
    mlp: nn.Module
    ls1: nn.Module
    ls2: nn.Module
    drop_path1: nn.Module
    drop_path2: nn.Module

    def restore(self) -> None:
        """Be timm's block again."""
        del self.dense, self.scale, self.num_cls, self.first_patch, self.note

    def forward(self, x: Tensor, *args: Any, grid: Grid | None = None, **kwargs: Any) -> Tensor:
        """[B, N, C] -> [B, N, C]; N holds the prefix, registers and h x w patches of `grid`.

        Raises:
            InputError: a mask.
        """
        if any(mask is not None and mask is not False for mask in (*args, *kwargs.values())):
            raise InputError("a last block with other attention takes no mask: leave attn_mask out")
        if grid is None and self.note is not None:
            grid = self.note.grid
        attended = self._attended(self.norm1(x), grid)
        out: Tensor = self.drop_path1(self.ls1(attended))
        if self.dense.residual:
            out = x + out
        if self.dense.mlp:
            out = out + self.drop_path2(self.ls2(self.mlp(self.norm2(out))))
        return out

    def _attended(self, x: Tensor, grid: Grid | None) -> Tensor:
        attention, kind = self.attn, self.dense.attention
        qkv = attention.qkv(x).unflatten(2, (3, attention.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, N, d] each
        if kind != "value":
            query, key = attention.q_norm(query), attention.k_norm(key)
            added = self._added(key, grid)
            pairs = {"vanilla": [(query, key)], "naclip": [(key, key)], "qq": [(query, query)]}
            pairs["sclip"] = [(query, query), (key, key)]
            weighted = [
                F.scaled_dot_product_attention(a, b, value, attn_mask=added, scale=self.scale)
                for a, b in pairs[kind]
            ]
            value = weighted[0] if len(weighted) == 1 else weighted[0] + weighted[1]
        output: Tensor = attention.proj(attention.norm(value.transpose(1, 2).flatten(2)))
        return output

    def _added(self, like: Tensor, grid: Grid | None) -> Tensor | None:
        """What is added to the scores of N queries and N keys, [N, N]; None for nothing."""
        first, num = self.first_patch, like.shape[2]
        added = None
        if self.dense.attention == "naclip" and grid is not None:
            added = F.pad(gaussian_window(grid, like), (first, 0, first, 0))
        if not self.dense.register_keys and first > self.num_cls:
            added = like.new_zeros(num, num) if added is None else added
            added[:, self.num_cls : first] = -torch.inf
        return added

    def extra_repr(self) -> str:
        """The options: a cache of features tells models apart by it."""
        return _shown(self.dense)


def gaussian_window(grid: Grid, like: Tensor) -> Tensor:
    """exp(-d^2 / (2 std^2)) of the distance d of each two patches of a grid (h, w), [N, N]."""
    along = []
    for length in grid:
        axis = torch.arange(length, device=like.device, dtype=torch.float32)
        along.append((-(axis[:, None] - axis).square() / (2 * WINDOW_STD**2)).exp())
    rows, columns = along
    window = rows[:, None, :, None] * columns[None, :, None, :]
    return window.flatten(2).flatten(0, 1).to(like.dtype)
