"""Test-time registers as constants: the attention-bias form of arXiv 2506.08010, A.2.

The weights that the register neurons write with are zeroed, and every block's attention sees R more
keys and values, the same for all images. Nothing is edited while the model runs, and there is no
further token in the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.provenance import provenance
from ttr_backbones.neuron_search.tune import tune_register_neurons
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.bake import bake_registers
from ttr_backbones.repairs.baked import TYPE, BakedRegisters
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.vits.class_swap import RegisterMixin, mix
from ttr_backbones.vits.constant_tokens import add_constant_tokens, check_attention
from ttr_backbones.vits.edit import Peak
from ttr_backbones.vits.neurons import RegisterNeurons, model_name


def add_bias_registers(vit: nn.Module, baked: BakedRegisters) -> nn.Module:
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
    return insert_constants(vit, baked)


def insert_constants(vit: nn.Module, baked: BakedRegisters) -> nn.Module:
    """Do what `add_bias_registers` does, for weights that are known to be the right ones."""
    check_attention(vit)
    baked.check_shape(vit)
    add_constant_tokens(vit, baked.layers, baked.keys, baked.values)
    mix(vit, BiasForm)
    mixed: Any = vit
    mixed.baked_registers = baked
    return vit


class BiasForm(RegisterMixin):
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
        """The neurons, the number of registers and the hash of the constants."""
        baked = self.baked_registers
        return {
            "layers": {str(block): units for block, units in baked.layers.items()},
            "num": baked.num,
            "sha256": baked.artifact.sha256,
        }


@register_repair
class BiasRegisters(Repair):
    """Test-time registers whose keys and values are constants of the attention."""

    type = TYPE
    label = "test-time register as bias"
    colour = "#56b4e9"
    fit_options: ClassVar[Mapping[str, str]] = {
        "neurons": "the list, a JSON file, or auto for the one that ships; by default it is "
        "searched on the images",
        "num": "number of registers (what the search found best, else 1)",
        "peak": "what moves to them, `edit.PEAKS` (neuron)",
        "scale": "factor on what moves, one number or one per register (1)",
    }
    swaps = (BiasForm,)
    changes_weights = True

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        neurons: RegisterNeurons | Mapping[int, list[int]] | str | Path | None = None,
        num: int | None = None,
        peak: Peak | None = None,
        scale: float | Sequence[float] | None = None,
    ) -> Artifact:
        """Bake the neurons, which are searched unless they are given.

        What is None is as the list's file says, else the default.

        Raises:
            NoOutliersError: the model has no outliers on these images.
            InputError: a list whose options constants cannot have.
        """
        if neurons is None:
            found = tune_register_neurons(vit, images)
            neurons = RegisterNeurons(found.model, found.layers, provenance(found, vit, images))
        elif isinstance(neurons, str | Path):
            neurons = RegisterNeurons.named(neurons, model_name(vit))
        elif not isinstance(neurons, RegisterNeurons):
            neurons = RegisterNeurons("", neurons)
        chosen = {
            k: v for k, v in (("num", num), ("peak", peak), ("scale", scale)) if v is not None
        }
        options = {**_constant_options(neurons), **chosen}
        return bake_registers(vit, neurons, images, **options).artifact

    def apply(self, vit: nn.Module, artifact: Artifact, **options: Any) -> None:
        """Insert the constants; there are no options."""
        insert_constants(vit, BakedRegisters.of(artifact), **options)

    def describe(self, vit: Any) -> dict[str, Any]:
        """The neurons, the number of registers and the hash of the constants."""
        described: dict[str, Any] = vit.describe()
        return described

    def caption(self, num: int) -> str:
        """Count the registers."""
        return f"{'one test-time register' if num == 1 else f'{num} test-time registers'} as bias"

    def token_options(self, artifact: Artifact, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the tokens that were measured."""
        del options
        return BakedRegisters.of(artifact).options

    def check(self, artifact: Artifact) -> None:
        """Keys and values of one shape, and a list."""
        BakedRegisters.of(artifact)

    def neurons(self, artifact: Artifact) -> RegisterNeurons:
        """The neurons that the constants stand for."""
        return BakedRegisters.of(artifact).neurons

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Bake the neurons as they are."""
        return self.fit(vit, images, neurons=neurons)


def _constant_options(neurons: RegisterNeurons) -> dict[str, Any]:
    """Those of the list's options that constants have."""
    options = neurons.recorded_options
    for name, default in (("keep_cls", False), ("fill", "zero"), ("positions", None)):
        if options.pop(name, default) != default:
            raise InputError(
                f"the list has {name}={neurons.recorded_options[name]!r}, and the bias form knows "
                f"{name}={default!r} alone: take the list as type='test_time', or {name} out of "
                "its options"
            )
    return options
