"""The weights of timm's pre-norm blocks by their role."""

from __future__ import annotations

from typing import Any

from timm.layers import AttentionRope, GluMlp, LayerScale, Mlp, SwiGLU
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.block_parts import BlockParts, LinearPart, no_parts


def plain_parts(block: Any) -> BlockParts:
    """Take apart a `Block` with timm's `Attention` and `Mlp`, `GluMlp` or `SwiGLU`.

    Raises:
        InputError: another kind of block, or layers that are none of torch's `Linear`.
    """
    if not (isinstance(block, Block) and isinstance(block.attn, Attention) and _is_known(block)):
        raise InputError(
            no_parts(
                block,
                "timm's pre-norm `Block` with `Attention`, without a gate, and `Mlp`, `GluMlp` or "
                "`SwiGLU`",
            )
        )
    attention: Any = block.attn
    value = LinearPart(attention.qkv, _part(attention.qkv, 2, 3))
    return _parts(block, value, _layer_scale(block.ls1), _layer_scale(block.ls2))


def eva_parts(block: Any) -> BlockParts:
    """Take apart an `EvaBlock`, whose keys and values have as many heads as its queries.

    Raises:
        InputError: another kind of block, or layers that are none of torch's `Linear`.
    """
    attention: Any = getattr(block, "attn", None)
    if not (
        isinstance(block, EvaBlock)
        and isinstance(attention, EvaAttention | AttentionRope)
        and getattr(attention, "num_kv_heads", attention.num_heads) == attention.num_heads
        and _is_known(block)
    ):
        raise InputError(
            no_parts(
                block,
                "timm's pre-norm `EvaBlock`, without a gate and with as many heads of keys and "
                "values as of queries",
            )
        )
    if attention.qkv is None:
        value = LinearPart(attention.v_proj)
    else:
        value = LinearPart(attention.qkv, _part(attention.qkv, 2, 3))
    scales = (None if scale is None else scale.detach() for scale in (block.gamma_1, block.gamma_2))
    return _parts(block, value, *scales)


def _is_known(block: Any) -> bool:
    return getattr(block.attn, "gate", None) is None and isinstance(
        block.mlp, Mlp | GluMlp | SwiGLU
    )


def _parts(
    block: Any, value: LinearPart, scale1: Tensor | None, scale2: Tensor | None
) -> BlockParts:
    attention, mlp = block.attn, block.mlp
    first, gate = _first_linears(mlp)
    for part in (value, attention.proj, mlp.fc2, first, gate):
        linear = part.module if isinstance(part, LinearPart) else part
        if linear is not None and not isinstance(linear, nn.Linear):
            raise InputError(f"a block with a {type(linear).__name__}: expected torch's Linear")
    return BlockParts(
        norm1=block.norm1,
        value=value,
        proj=LinearPart(attention.proj),
        scale1=scale1,
        norm2=block.norm2,
        first_linear=first,
        gate=gate,
        act=mlp.act,
        second_linear=LinearPart(mlp.fc2),
        scale2=scale2,
        inner_norms=not all(isinstance(m.norm, nn.Identity) for m in (attention, mlp)),
    )


def _first_linears(mlp: Any) -> tuple[LinearPart, LinearPart | None]:
    """What is not gated, and the gate: the part that goes through the activation function."""
    if isinstance(mlp, SwiGLU):
        return LinearPart(mlp.fc1_x), LinearPart(mlp.fc1_g)
    if not isinstance(mlp, GluMlp):
        return LinearPart(mlp.fc1), None
    halves = [LinearPart(mlp.fc1, _part(mlp.fc1, half, 2)) for half in (0, 1)]
    return (halves[0], halves[1]) if mlp.gate_last else (halves[1], halves[0])


def _part(linear: nn.Linear, index: int, of: int) -> slice:
    """Return the outputs of one of `of` equal parts."""
    size = linear.weight.shape[0] // of
    return slice(index * size, (index + 1) * size)


def _layer_scale(module: nn.Module) -> Tensor | None:
    return module.gamma.detach() if isinstance(module, LayerScale) else None
