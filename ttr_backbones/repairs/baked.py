"""`BakedRegisters`: what a test-time register gives to attention, as constants of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import RegisterNeurons

TYPE = "bias"
COMMAND = "`ttrb repair bias MODEL --images DIR --out FILE.safetensors`"


@dataclass(frozen=True, eq=False)
class BakedRegisters:
    """The key and value of R registers in every head of every block (arXiv 2506.08010, A.2).

    Args:
        model: timm name of the checkpoint, as in `RegisterNeurons`.
        layers: the register neurons that they stand for, {block: [unit, ...]}.
        keys: [blocks, heads, R, head_dim], after the key's norm; kept in float32.
        values: the same shape.
        provenance: any JSON value per key. `weights_sha256` names the weights that they belong to;
            `neurons` is the provenance of the list.

    Raises:
        InputError: shapes that do not go together, values that are no finite numbers, or no valid
            list of neurons.
    """

    model: str
    layers: Mapping[int, list[int]]
    keys: Tensor
    values: Tensor
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("keys", "values"):
            tensor = getattr(self, name)
            if not (isinstance(tensor, Tensor) and tensor.ndim == 4 and tensor.numel()):
                shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise InputError(f"{name}: expected [blocks, heads, R, head_dim], got {shape}")
            if not tensor.is_floating_point():
                raise InputError(f"{name}: expected floating-point numbers, got {tensor.dtype}")
            if not tensor.isfinite().all():
                raise InputError(f"{name}: expected finite numbers, got NaN or infinite ones")
            kept = tensor.detach().float().cpu().clone(memory_format=torch.contiguous_format)
            object.__setattr__(self, name, kept)
        if self.keys.shape != self.values.shape:
            raise InputError(
                f"keys {tuple(self.keys.shape)} and values {tuple(self.values.shape)}: expected "
                "one shape"
            )
        object.__setattr__(self, "layers", self.neurons.layers)

    @property
    def neurons(self) -> RegisterNeurons:
        """The register neurons, with the provenance of their list."""
        return RegisterNeurons(self.model, self.layers, self.provenance.get("neurons") or {})

    @property
    def num(self) -> int:
        """Number of registers R."""
        return int(self.keys.shape[2])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `add_test_time_registers` for the tokens that were measured."""
        measured = {
            key: self.provenance[key] for key in ("peak", "scale") if key in self.provenance
        }
        return {"num": self.num, **measured}

    @property
    def artifact(self) -> Artifact:
        """What is saved of them."""
        layers = {str(block): units for block, units in self.layers.items()}
        tensors = {"keys": self.keys, "values": self.values}
        return Artifact(TYPE, self.model, tensors, {"layers": layers}, self.provenance)

    @classmethod
    def of(cls, artifact: Artifact) -> BakedRegisters:
        """Read an artifact.

        Raises:
            InputError: it lacks something, or holds what is not valid.
        """
        layers = artifact.facts.get("layers")
        if artifact.tensors.keys() != {"keys", "values"} or not isinstance(layers, dict):
            held = ", ".join(artifact.tensors) or "nothing"
            raise InputError(
                f"an artifact of type={TYPE!r} has the tensors keys and values and the fact "
                f"`layers`, this one holds {held}: make one with {COMMAND}"
            )
        return cls(artifact.model, layers, **artifact.tensors, provenance=artifact.provenance)

    def check(self, vit: nn.Module) -> None:
        """Raise InputError unless they were made from the weights that `vit` has."""
        self.artifact.check_weights(vit, COMMAND)
        self.check_shape(vit)

    def check_shape(self, vit: nn.Module) -> None:
        """Raise InputError unless `vit` has their blocks, units, heads and head width."""
        self.neurons.check(vit)
        family = family_of(vit)
        blocks = family.blocks(vit)
        heads, head_dim = family.head_shape(blocks[0])
        expected = (len(blocks), heads, self.num, head_dim)
        if self.keys.shape != expected:
            raise InputError(
                f"the baked registers are {tuple(self.keys.shape)}, the model needs {expected} "
                f"[blocks, heads, R, head_dim]: make them for it with {COMMAND}"
            )
