"""Constant keys and values in attention, and neurons that write nothing: class swaps.

The weights that some neurons write with are zeroed, and every block's attention sees R more keys
and values, the same for all images. Nothing is edited while the model runs, and there is no further
token in the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, check_plain, mix
from ttr_backbones.vits.family import family_of, naming_block


def add_constant_tokens(
    vit: nn.Module, layers: Mapping[int, Sequence[int]], keys: Tensor, values: Tensor
) -> None:
    """Zero the columns of some neurons, and give every block's attention R keys and values.

    The zeroed columns of the second linear layers are parameters (of their own, where copies of
    `vit` share theirs): freeze the model, or training lets them grow again. `load_state_dict`
    zeroes them anew. An `attn_mask` is one of the model's own tokens, [..., N, N]; the constants
    are always seen. Every module changed is a `Mixin` afterwards; `vit` itself is not.

    Args:
        vit: a model that `check_attention` takes; changed in place.
        layers: the neurons, {block: [unit, ...]}.
        keys: [blocks, heads, R, head_dim], after the key's norm.
        values: the same shape.

    Raises:
        InputError: a second linear layer that is none of torch's; nothing is changed then.
    """
    family = family_of(vit)
    blocks = family.blocks(vit)
    linears = {index: family.second_linear(blocks[index]) for index in layers}
    for index, linear in linears.items():
        if not isinstance(linear, nn.Linear):
            raise InputError(
                f"the second linear layer of the MLP of block {index} is a "
                f"{type(linear).__name__}, whose columns cannot be zeroed: expected torch's Linear"
            )
    for index, linear in linears.items():
        swapped: Any = linear
        mix(swapped, _ZeroedColumns)
        swapped.zero(torch.tensor(layers[index], device=swapped.weight.device))
    for block, key, value in zip(blocks, keys, values, strict=True):
        attention = family.attention(block)
        mix(attention, family.constant_tokens)
        like = next(attention.parameters()).detach()
        attention.add_constants(key.to(like, copy=True), value.to(like, copy=True))


def check_attention(vit: Any) -> None:
    """Raise InputError unless `vit` is a ViT without registers whose attention takes constants."""
    check_plain(vit)
    family = family_of(vit)
    for index, block in enumerate(family.blocks(vit)):
        with naming_block(index):
            family.check_constants(block)


def with_constant_keys(attention: nn.Module, keys: Tensor) -> Tensor:
    """Append the constant keys of a block's attention, if any, to `keys` [B, heads, N, d]."""
    if isinstance(attention, ConstantTokens):
        return _appended(keys, attention.register_keys)
    return keys


class _ZeroedColumns(Mixin):
    """A second linear layer that takes nothing from some units; what it took is kept."""

    weight: nn.Parameter
    zeroed_units: Tensor
    own_columns: Tensor

    def zero(self, units: Tensor) -> None:
        original = self.weight.detach().index_select(1, units)
        self.register_buffer("zeroed_units", units, persistent=False)
        self.register_buffer("own_columns", original, persistent=False)
        self._set_columns(torch.zeros_like(original))

    def restore(self) -> None:
        self._set_columns(self.own_columns)
        del self.zeroed_units, self.own_columns

    def _set_columns(self, columns: Tensor) -> None:
        """In a parameter of its own: a copy that shares the weights may have other registers."""
        original = self.weight.detach()
        weight = original.index_copy(1, self.zeroed_units, columns.to(original.dtype))
        self.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if f"{prefix}weight" in state_dict:
            self.zero(self.zeroed_units)


class ConstantTokens(Mixin):
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
        """Forget the constants."""
        del self.register_keys, self.register_values

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """[B, N, C] -> [B, N, C], as timm's with the constants among the keys and values."""
        B, N, _ = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # [B, heads, N, d]
        x = self.attended(self.q_norm(q), self.k_norm(k), v, attn_mask, is_causal)
        return self.proj_drop(self.proj(self.norm(x)))

    def attended(
        self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, is_causal: bool
    ) -> Tensor:
        """Average the values with the constants among them.

        Args:
            q: [B, heads, N, d], as k and v.
            k: without the constants, as v.
            v: values.
            attn_mask: of the N tokens, [..., N, N] or [..., 1, N], bool or added.
            is_causal: let each token see the tokens before it, instead.

        Returns:
            Heads side by side, [B, N, heads * d].
        """
        N = q.shape[2]
        k, v = _appended(k, self.register_keys), _appended(v, self.register_values)
        if is_causal:
            attn_mask = torch.ones(N, N, dtype=torch.bool, device=q.device).tril()
        mask = None if attn_mask is None else self._mask(attn_mask, N)
        if self.fused_attn:
            dropout = self.attn_drop.p if self.training else 0.0
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            if mask is not None:
                scores = scores.masked_fill(~mask, -torch.inf) if _is_bool(mask) else scores + mask
            x = self.attn_drop(scores.softmax(dim=-1)) @ v
        return x.transpose(1, 2).flatten(2)

    def _mask(self, mask: Tensor, N: int) -> Tensor:
        """Let every token see the constants: [..., N, N] -> [..., N, N + R]."""
        mask = mask.expand(*mask.shape[:-1], N)
        return F.pad(mask, (0, self.register_keys.shape[1]), value=True if _is_bool(mask) else 0.0)

    def extra_repr(self) -> str:
        """How many there are."""
        return f"constant keys and values: {self.register_keys.shape[1]}"


def _appended(tokens: Tensor, constants: Tensor) -> Tensor:
    """[B, heads, N, d] and [heads, R, d] -> [B, heads, N + R, d], in the type of `tokens`."""
    more = constants.to(tokens.dtype).expand(tokens.shape[0], -1, -1, -1)
    return torch.cat([tokens, more], dim=2)


def _is_bool(mask: Tensor) -> bool:
    return mask.dtype == torch.bool
