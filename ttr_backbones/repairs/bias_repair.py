"""The bias form of test-time registers as a repair: fit is baking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from timm.models.vision_transformer import VisionTransformer

from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.provenance import provenance
from ttr_backbones.neuron_search.tune import tune_register_neurons
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.bake import bake_registers
from ttr_backbones.repairs.baked import TYPE, BakedRegisters
from ttr_backbones.repairs.bias import BiasForm, insert_constants
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.vits.edit import Peak
from ttr_backbones.vits.neurons import RegisterNeurons


@register_repair
class BiasRegisters(Repair):
    """Test-time registers whose keys and values are constants of the attention."""

    type = TYPE
    label = "a test-time register as bias"
    colour = "#56b4e9"
    fit_options: ClassVar[Mapping[str, str]] = {
        "neurons": "the list; by default it is searched on the images",
        "num": "number of registers (what the search found best, else 1)",
        "peak": "what moves to them, `edit.PEAKS` (neuron)",
        "scale": "factor on what moves, one number or one per register (1)",
    }
    swaps = (BiasForm,)
    changes_weights = True

    def fit(
        self,
        vit: VisionTransformer,
        images: ImageBatches,
        *,
        neurons: RegisterNeurons | Mapping[int, list[int]] | None = None,
        num: int | None = None,
        peak: Peak = "neuron",
        scale: float | Sequence[float] = 1.0,
    ) -> Artifact:
        """Bake the neurons, which are searched unless they are given.

        Raises:
            NoOutliersError: the model has no outliers on these images.
        """
        if neurons is None:
            found = tune_register_neurons(vit, images)
            num = found.num if num is None else num
            neurons = RegisterNeurons(found.model, found.layers, provenance(found, vit, images))
        num = 1 if num is None else num
        return bake_registers(vit, neurons, images, num=num, peak=peak, scale=scale).artifact

    def apply(self, vit: VisionTransformer, artifact: Artifact, **options: Any) -> None:
        """Insert the constants; there are no options."""
        insert_constants(vit, BakedRegisters.of(artifact), **options)

    def describe(self, vit: VisionTransformer) -> dict[str, Any]:
        """The neurons, the number of registers and the hash of the constants."""
        described: dict[str, Any] = vit.describe()
        return described

    def caption(self, vit: VisionTransformer) -> str:
        """Count the registers."""
        num = self.describe(vit)["num"]
        return self.label if num == 1 else f"{num} test-time registers as bias"

    def check(self, artifact: Artifact) -> None:
        """Keys and values of one shape, and a list."""
        BakedRegisters.of(artifact)

    def neurons(self, artifact: Artifact) -> RegisterNeurons:
        """The neurons that the constants stand for."""
        return BakedRegisters.of(artifact).neurons

    def example(
        self, vit: VisionTransformer, images: ImageBatches, neurons: RegisterNeurons
    ) -> Artifact:
        """Bake the neurons as they are."""
        return self.fit(vit, images, neurons=neurons)

    def command(self, model: str = "MODEL") -> str:
        """The command that bakes."""
        return f"`ttrb bake {model} --images DIR --out FILE.safetensors`"
