"""The weights of a block of transformers by their role."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import ttr_backbones.vits.hf_parts as hf_parts
from ttr_backbones.errors import InputError
from ttr_backbones.vits.block_parts import BlockParts, LinearPart, no_parts


def hf_block_parts(block: Any) -> BlockParts:
    """Take apart a pre-norm block with separate queries, keys and values.

    Raises:
        InputError: a part that is not found, or layers that are none of torch's `Linear`.
    """
    first, gate, act = _hidden(block)
    norms = [
        hf_parts.part(block, *names)
        for names in (
            ("norm1", "layer_norm1", "layernorm_before"),
            ("norm2", "layer_norm2", "layernorm_after"),
        )
    ]
    proj, second = _projection(block), hf_parts.second_linear(block)
    if first is None or act is None or proj is None or second is None or None in norms:
        raise InputError(no_parts(block, "one of a vision tower that is known here"))
    value = LinearPart(hf_parts.projections(block)[2])
    for part in (value, LinearPart(proj), LinearPart(second), first, gate):
        if part is not None and not isinstance(part.module, nn.Linear):
            kind = type(part.module).__name__
            raise InputError(f"a block with a {kind}: expected torch's Linear")
    return BlockParts(
        norm1=norms[0],
        value=value,
        proj=LinearPart(proj),
        scale1=_layer_scale(block, "layer_scale1", "lambda_1"),
        norm2=norms[1],
        first_linear=first,
        gate=gate,
        act=act,
        second_linear=LinearPart(second),
        scale2=_layer_scale(block, "layer_scale2", "lambda_2"),
    )


def _projection(block: Any) -> Any:
    """The linear layer behind the heads: of the attention, or beside it in transformers 4."""
    attention = hf_parts.attention(block)
    beside = getattr(getattr(getattr(block, "attention", None), "output", None), "dense", None)
    return hf_parts.part(attention, "o_proj", "out_proj", "projection_layer") or beside


def _hidden(block: Any) -> tuple[LinearPart | None, LinearPart | None, Any]:
    """What is not gated, the gate, and the activation function."""
    mlp = hf_parts.mlp(block)
    act = hf_parts.part(mlp, "activation_fn", "act_fn", "activation", "intermediate_act_fn")
    fused = getattr(mlp, "weights_in", None)  # DINOv2's SwiGLU in transformers 4: gate, then rest
    if fused is not None:
        half = fused.out_features // 2
        return LinearPart(fused, slice(half, None)), LinearPart(fused, slice(half)), nn.SiLU()
    first = hf_parts.part(mlp, "fc1", "up_proj", "dense")
    gate = getattr(mlp, "gate_proj", None)
    return (
        None if first is None else LinearPart(first),
        None if gate is None else LinearPart(gate),
        act,
    )


def _layer_scale(block: Any, module: str, parameter: str) -> Tensor | None:
    scale = getattr(getattr(block, module, None), "lambda1", getattr(block, parameter, None))
    return None if scale is None else scale.detach()
