"""Test-time registers as constants: the attention-bias form of arXiv 2506.08010, A.2.

The weights that the register neurons write with are zeroed, and every block's attention sees R more
keys and values, the same for all images. Nothing is edited while the model runs, and there is no
further token in the sequence.
"""

from __future__ import annotations

from typing import Any

from timm.models.vision_transformer import VisionTransformer

from ttr_backbones.repairs.baked import BakedRegisters
from ttr_backbones.vits.class_swap import Mixin, mix
from ttr_backbones.vits.constant_tokens import add_constant_tokens, check_attention
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
    add_constant_tokens(vit, baked.layers, baked.keys, baked.values)
    mix(vit, _BiasForm)
    vit.baked_registers = baked
    return vit


class _BiasForm(Mixin):
    """A ViT whose attention has constant keys and values."""

    baked_registers: BakedRegisters

    @property
    def register_neurons(self) -> RegisterNeurons:
        """The neurons that the constants stand for."""
        return self.baked_registers.neurons

    def restore(self) -> None:
        """Forget the constants."""
        del self.baked_registers

    def describe(self) -> dict[str, Any]:
        baked = self.baked_registers
        return {
            "form": "bias",
            "layers": {str(block): units for block, units in baked.layers.items()},
            "num": baked.num,
            "sha256": baked.sha256,
        }
