"""The ViT that is measured, and the register neurons that are moved in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.vits.family import family_of


@dataclass(frozen=True)
class BenchedVit:
    """Which ViT is measured.

    Args:
        model: timm name.
        checkpoint: local weight file; random weights without one, which take the same time.
        neurons: the register neurons to move, with the options of their list; see
            `chosen_neurons`.
        model_kwargs: more arguments of `timm.create_model`.
    """

    model: str
    checkpoint: Path | None = None
    neurons: RegisterNeurons | None = None
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def backbone(self) -> TimmViT:
        """Make the frozen `TimmViT` that all contestants are made from, without registers.

        Positions are resampled as timm does, so that plain timm gives the same at every size.

        Raises:
            InputError: see `TimmViT`.
        """
        options: dict[str, Any] = {
            "checkpoint": self.checkpoint,
            "model_kwargs": self.model_kwargs,
            "pos_embed": "timm",
        }
        try:
            backbone = TimmViT(self.model, **options)
        except InputError as error:
            if "final_norm" not in str(error):
                raise
            # It pools before its norm, and has none for tokens.
            backbone = TimmViT(self.model, final_norm=False, **options)
        backbone.input_checked = True  # its images are noise
        return backbone

    def chosen_neurons(self, backbone: TimmViT) -> RegisterNeurons:
        """Return the list to move: the user's, the one that ships, or as many neurons elsewhere.

        Without a list, three units in each of the blocks from a third of the depth to the last but
        one: DINOv2's ViT-S has nineteen in these seven of twelve. Which units costs nothing.

        Raises:
            InputError: the neurons given are of another model.
        """
        if self.neurons is not None:
            self.neurons.check(backbone.vit)
            return self.neurons
        try:
            bundled = RegisterNeurons.bundled(self.model)
            bundled.check(backbone.vit)
            return bundled
        except InputError:
            depth = len(family_of(backbone.vit).blocks(backbone.vit))
            last = max(depth - 1, depth // 3 + 1)
            return RegisterNeurons("", {block: [0, 1, 2] for block in range(depth // 3, last)})

    def setting(self) -> dict[str, Any]:
        """The model and its weights, for the setting of a part."""
        weights = str(self.checkpoint) if self.checkpoint else "random"
        return {"model": self.model, "weights": weights}
