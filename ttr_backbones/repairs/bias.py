"""Test-time registers as constants: the attention-bias form of arXiv 2506.08010, A.2.

The weights that the register neurons write with are zeroed, and every block's attention sees R more
keys and values, the same for all images. Nothing is edited while the model runs, and there is no
further token in the sequence.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.repairs.baked import BakedRegisters
from ttr_backbones.vits.class_swap import Mixin, check_plain, mix
from ttr_backbones.vits.neurons import RegisterNeurons


def add_bias_registers(vit: VisionTransformer, baked: BakedRegisters) -> VisionTransformer:
    """Give `vit` the constant keys and values `baked`, and zero the neurons that they stand for.

    The zeroed columns of `mlp.fc2.weight` are parameters (of their own, where copies of `vit` share
    theirs): freeze the model, or training lets them grow again. `load_state_dict` zeroes them anew.
    An `attn_mask` is one of the model's own tokens, [..., N, N]; the constants are always seen.

    Args:
        vit: any timm VisionTransformer with timm's standard attention; changed in place.
        baked: made from these weights by `bake_registers`.

    Returns:
        `vit`, ready to use at every batch and input size; `remove_test_time_registers` undoes it.

    Raises:
        InputError: not such a model, registers of either form already on, or constants that were
            made from other weights.
    """
    check_attention(vit)
    baked.check(vit)
    for block in baked.layers:
        fc2 = vit.blocks[block].mlp.fc2
        if not isinstance(fc2, nn.Linear):
            raise InputError(
                f"mlp.fc2 of block {block} is a {type(fc2).__name__}, whose columns cannot be "
                "zeroed: expected torch's Linear"
            )
    for block, units in baked.layers.items():
        fc2 = vit.blocks[block].mlp.fc2
        mix(fc2, _ZeroedColumns)
        fc2.zero(torch.tensor(units, device=fc2.weight.device))
    for block, key, value in zip(vit.blocks, baked.keys, baked.values, strict=True):
        mix(block.attn, _ConstantTokens)
        like = block.attn.qkv.weight.detach()
        block.attn.add_constants(key.to(like, copy=True), value.to(like, copy=True))
    mix(vit, _BiasForm)
    vit.baked_registers = baked
    return vit


def check_attention(vit: Any) -> None:
    """Raise InputError unless `vit` is a ViT without registers whose attention takes constants."""
    check_plain(vit)
    for index, block in enumerate(vit.blocks):
        attention: Any = getattr(block, "attn", None)
        gated = getattr(attention, "gate", None) is not None
        if type(attention) is not Attention or gated:
            came = f"{type(block).__name__} with attn={type(attention).__name__}"
            raise InputError(
                f"block {index} is a {came}{' and a gate' if gated else ''}: constant keys and "
                "values need timm's standard `Attention` without a gate. Use registers as tokens "
                "instead (form='token', add_test_time_registers)"
            )


def with_constant_keys(attention: nn.Module, keys: Tensor) -> Tensor:
    """Append the constant keys of a block's attention, if any, to `keys` [B, heads, N, d]."""
    if isinstance(attention, _ConstantTokens):
        return _appended(keys, attention.register_keys)
    return keys


class _BiasForm(Mixin, VisionTransformer):
    """A ViT whose attention has constant keys and values."""

    baked_registers: BakedRegisters

    @property
    def register_neurons(self) -> RegisterNeurons:
        return self.baked_registers.neurons

    def restore(self) -> None:
        del self.baked_registers

    def describe(self) -> dict[str, Any]:
        baked = self.baked_registers
        return {
            "form": "bias",
            "layers": {str(block): units for block, units in baked.layers.items()},
            "num": baked.num,
            "sha256": baked.sha256,
        }


class _ZeroedColumns(Mixin):
    """`mlp.fc2` that takes nothing from some units; what it took is kept."""

    weight: nn.Parameter
    zeroed_units: Tensor
    own_columns: Tensor

    def zero(self, units: Tensor) -> None:
        own = self.weight.detach().index_select(1, units)
        self.register_buffer("zeroed_units", units, persistent=False)
        self.register_buffer("own_columns", own, persistent=False)
        self._set_columns(torch.zeros_like(own))

    def restore(self) -> None:
        self._set_columns(self.own_columns)
        del self.zeroed_units, self.own_columns

    def _set_columns(self, columns: Tensor) -> None:
        """In a parameter of its own: a copy that shares the weights may have other registers."""
        own = self.weight.detach()
        weight = own.index_copy(1, self.zeroed_units, columns.to(own.dtype))
        self.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if f"{prefix}weight" in state_dict:
            self.zero(self.zeroed_units)


class _ConstantTokens(Mixin):
    """timm's `Attention` with R more keys and values, which are no tokens' own."""

    register_keys: Tensor
    register_values: Tensor
    num_heads: int
    scale: float
    fused_attn: bool
    qkv: nn.Module
    q_norm: nn.Module
    k_norm: nn.Module
    attn_drop: nn.Dropout
    norm: nn.Module
    proj: nn.Module
    proj_drop: nn.Module

    def add_constants(self, keys: Tensor, values: Tensor) -> None:
        """[heads, R, d] each."""
        self.register_buffer("register_keys", keys, persistent=False)
        self.register_buffer("register_values", values, persistent=False)

    def restore(self) -> None:
        del self.register_keys, self.register_values

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        B, N, _ = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # [B, heads, N, d]
        q = self.q_norm(q)
        k = _appended(self.k_norm(k), self.register_keys)
        v = _appended(v, self.register_values)
        if is_causal:
            attn_mask = torch.ones(N, N, dtype=torch.bool, device=x.device).tril()
        mask = None if attn_mask is None else self._mask(attn_mask, N)
        if self.fused_attn:
            dropout = self.attn_drop.p if self.training else 0.0
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            if mask is not None:
                scores = scores.masked_fill(~mask, -torch.inf) if _is_bool(mask) else scores + mask
            x = self.attn_drop(scores.softmax(dim=-1)) @ v
        return self.proj_drop(self.proj(self.norm(x.transpose(1, 2).flatten(2))))

    def _mask(self, mask: Tensor, N: int) -> Tensor:
        """Let every token see the constants: [..., N, N] -> [..., N, N + R]."""
        mask = mask.expand(*mask.shape[:-1], N)
        return F.pad(mask, (0, self.register_keys.shape[1]), value=True if _is_bool(mask) else 0.0)

    def extra_repr(self) -> str:
        return f"constant keys and values: {self.register_keys.shape[1]}"


def _appended(tokens: Tensor, constants: Tensor) -> Tensor:
    """[B, heads, N, d] and [heads, R, d] -> [B, heads, N + R, d], in the type of `tokens`."""
    more = constants.to(tokens.dtype).expand(tokens.shape[0], -1, -1, -1)
    return torch.cat([tokens, more], dim=2)


def _is_bool(mask: Tensor) -> bool:
    return mask.dtype == torch.bool
