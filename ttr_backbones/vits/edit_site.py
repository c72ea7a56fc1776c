"""Mixin of the second linear layer of an MLP, which edits the hidden activations before it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ttr_backbones.vits.class_swap import Mixin
from ttr_backbones.vits.edit import move_activations, move_to_patches
from ttr_backbones.vits.image_patches import PER_IMAGE, ImagePatches


class EditSite(Mixin):
    """The MLP's second linear layer, preceded by the edit of its input."""

    units: Tensor
    rows: Tensor
    gain: Tensor
    options: dict[str, Any]
    patches: ImagePatches | None

    def add_edit(
        self,
        *,
        units: Tensor,
        rows: Tensor,
        gain: Tensor,
        options: dict[str, Any],
        patches: ImagePatches | None = None,
    ) -> None:
        """Edit from now on, as `move_activations` does with these arguments.

        With `patches`, `move_to_patches`: they receive in place of `rows`.
        """
        self.register_buffer("units", units, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("gain", gain, persistent=False)
        self.options, self.patches = options, patches

    def restore(self) -> None:
        """Forget the edit."""
        del self.units, self.rows, self.gain, self.options, self.patches

    def forward(self, hidden: Tensor) -> Tensor:
        """The hidden activations [B, N, D] with the neurons moved, through the layer: [B, N, C]."""
        if self.patches is None:
            edited = move_activations(hidden, self.units, self.rows, self.gain, **self.options)
        else:
            receivers = self.patches.tokens(hidden, self.options["first_patch"])
            edited = move_to_patches(hidden, self.units, receivers, self.gain, **self.options)
        output: Tensor = super().forward(edited)
        return output

    def extra_repr(self) -> str:
        """The layer's own, which neurons, and how."""
        where = "" if self.patches is None else f", positions {PER_IMAGE}"
        neurons = f"register neurons: {self.units.tolist()}{where}"
        return f"{super().extra_repr()}, {neurons}, {self.options}"
