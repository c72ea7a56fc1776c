"""Where the edit of a block's hidden activations sits: a class that a module takes on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ttr_backbones.vits.class_swap import Mixin
from ttr_backbones.vits.edit import move_activations


class EditSite(Mixin):
    """The MLP's second linear layer, preceded by the edit of its input."""

    units: Tensor
    rows: Tensor
    gain: Tensor
    options: dict[str, Any]

    def add_edit(
        self, *, units: Tensor, rows: Tensor, gain: Tensor, options: dict[str, Any]
    ) -> None:
        """Edit from now on, as `move_activations` does with these arguments."""
        self.register_buffer("units", units, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("gain", gain, persistent=False)
        self.options = options

    def restore(self) -> None:
        """Forget the edit."""
        del self.units, self.rows, self.gain, self.options

    def forward(self, hidden: Tensor) -> Tensor:
        """The hidden activations [B, N, D] with the neurons moved, through the layer: [B, N, C]."""
        edited = move_activations(hidden, self.units, self.rows, self.gain, **self.options)
        output: Tensor = super().forward(edited)
        return output

    def extra_repr(self) -> str:
        """The layer's own, which neurons, and how."""
        return f"{super().extra_repr()}, register neurons: {self.units.tolist()}, {self.options}"
