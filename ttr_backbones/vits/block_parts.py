"""The weights of a transformer block by their role, as matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import RmsNorm, SimpleNorm
from torch import Tensor, nn

from ttr_backbones.errors import InputError

_WITHOUT_CENTRING = (RmsNorm, SimpleNorm, nn.RMSNorm)
_OF_TRANSFORMERS = ("InternVLVisionRMSNorm",)  # which need not be imported to know


@dataclass(frozen=True)
class LinearPart:
    """A linear layer, or the part of it that gives some of its outputs.

    Args:
        module: the layer.
        rows: which outputs; None for all.
    """

    module: Any
    rows: slice | None = None

    @property
    def weight(self) -> Tensor:
        """[outputs, inputs]."""
        return self.of(self.module.weight)

    @property
    def bias(self) -> Tensor:
        """[outputs], zeros where the layer has none."""
        bias = self.module.bias
        return self.weight.new_zeros(len(self.weight)) if bias is None else self.of(bias)

    def of(self, parameter: Tensor) -> Tensor:
        """Take the rows of the layer's weight or bias."""
        whole = parameter.detach()
        return whole if self.rows is None else whole[self.rows]


@dataclass(frozen=True)
class BlockParts:
    """A block x + scale1 * attention(norm1(x)), then x + scale2 * mlp(norm2(x)).

    The MLP is fc2(act(fc1 x)), or fc2(act(gate x) * fc1 x). C channels, D hidden units.

    Args:
        norm1: before the attention.
        value: the values of all heads, [C', C].
        proj: behind the heads, [C, C'].
        scale1: LayerScale, [C]; None without.
        norm2: before the MLP.
        first_linear: fc1, [D, C].
        gate: [D, C]; None where the MLP is not gated.
        act: the activation function.
        second_linear: fc2, [C, D].
        scale2: LayerScale, [C]; None without.
        inner_norms: whether a norm stands before `proj` or `fc2`.
    """

    norm1: nn.Module
    value: LinearPart
    proj: LinearPart
    scale1: Tensor | None
    norm2: nn.Module
    first_linear: LinearPart
    gate: LinearPart | None
    act: nn.Module
    second_linear: LinearPart
    scale2: Tensor | None
    inner_norms: bool = False

    @property
    def linears(self) -> dict[str, LinearPart]:
        """The matrices that values and hidden units go through, by name.

        A layer that holds gate and fc1 is one of them, as a whole.
        """
        first = {"fc1": self.first_linear}
        if self.gate is not None and self.gate.module is self.first_linear.module:
            first = {"fc1": LinearPart(self.first_linear.module)}
        elif self.gate is not None:
            first = {"gate": self.gate, "fc1": self.first_linear}
        return {"value": self.value, "proj": self.proj, **first, "fc2": self.second_linear}


def norm_map(norm: nn.Module, channels: int) -> Tensor:
    """The linear part of a norm without its division: weights and, in a LayerNorm, centring.

    Args:
        norm: LayerNorm, RMSNorm or nothing.
        channels: C.

    Returns:
        float64 [C, C] on the CPU.

    Raises:
        InputError: another kind of norm.
    """
    identity = torch.eye(channels, dtype=torch.float64)
    if isinstance(norm, nn.Identity):
        return identity
    weight = getattr(norm, "weight", None)
    scale = torch.ones(channels) if weight is None else weight.detach()
    known = isinstance(norm, (nn.LayerNorm, *_WITHOUT_CENTRING))
    if not known and type(norm).__name__ not in _OF_TRANSFORMERS:
        raise InputError(
            f"a block with {type(norm).__name__}: expected a LayerNorm or RMSNorm, whose linear "
            "part is known"
        )
    centring = identity - 1 / channels if isinstance(norm, nn.LayerNorm) else identity
    return scale.double().cpu()[:, None] * centring


def no_parts(block: Any, expected: str) -> str:
    """Return the message for a block whose weights cannot be taken apart."""
    layers = ", ".join(
        f"{name}={type(getattr(block, name)).__name__}"
        for name in ("attn", "mlp")
        if hasattr(block, name)
    )
    return (
        f"a {type(block).__name__}{f' with {layers}' if layers else ''}, whose weights cannot be "
        f"taken apart here: expected {expected}. Use another repair"
    )
