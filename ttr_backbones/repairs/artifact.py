"""`Artifact`: what fitting a repair gives, in one file format for all repairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.tensors_file import read_tensors, write_tensors
from ttr_backbones.vits.neurons import may_belong, model_name
from ttr_backbones.vits.weights_hash import weights_hash

_ENTRY = "ttr_backbones.repair"  # of the file's header
_EXPECTED = "expected a file that `ttrb repair` or `fit_repair(TYPE, vit, images).save(FILE)` wrote"
_HEADER = {"type": str, "model": str, "facts": dict, "provenance": dict}


@dataclass(frozen=True, eq=False)
class Artifact:
    """What one repair needs to be applied to one checkpoint.

    Args:
        type: of the repair, a key of `REPAIRS`.
        model: timm name of the checkpoint, as in `RegisterNeurons`; '' fits every model.
        tensors: by name; floating-point ones are kept in float32, all of them on the CPU.
        facts: plain data that JSON can hold: whatever else decides what the repair does.
        provenance: plain data: how it was made. It changes nothing but for `weights_sha256`, the
            `weights_hash` of the only weights that the artifact may be applied to.

    Raises:
        InputError: tensors that are not finite, or facts that JSON cannot hold.
    """

    type: str
    model: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tensors = {name: _kept(name, tensor) for name, tensor in sorted(self.tensors.items())}
        object.__setattr__(self, "tensors", tensors)
        for name in ("facts", "provenance"):
            try:
                plain = json.loads(json.dumps(getattr(self, name)))
            except (TypeError, ValueError) as error:
                raise InputError(f"{name} of a repair's artifact: {error}") from error
            object.__setattr__(self, name, plain)

    @property
    def sha256(self) -> str:
        """Hash of everything that decides what the repair does: type, facts and tensors."""
        digest = hashlib.sha256(json.dumps([self.type, self.facts], sort_keys=True).encode())
        for name, tensor in self.tensors.items():
            digest.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: the tensors, and the rest as JSON in its header."""
        header = {name: getattr(self, name) for name in _HEADER}
        write_tensors(path, self.tensors, _ENTRY, header)

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """Read a file that `save` wrote; nothing in it is executed.

        Raises:
            MissingFileError: no such file.
            InputError: another kind of file, a damaged one, or values that are not valid.
        """
        header, tensors = read_tensors(path, _ENTRY, _HEADER, "artifact of a repair", _EXPECTED)
        try:
            return cls(**{name: header[name] for name in _HEADER}, tensors=tensors)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def check_weights(self, vit: nn.Module, command: str) -> None:
        """Check that `vit` has the weights that the artifact belongs to.

        Args:
            vit: a model without a repair.
            command: what makes an artifact for other weights.

        Raises:
            InputError: it is another model, or has other weights.
        """
        name = model_name(vit)
        if name and not may_belong(self.model, name):
            raise InputError(
                f"the artifact of the repair {self.type!r} belongs to {self.model!r}, the model is "
                f"{name!r}: load the model's own, or make one with {command}"
            )
        recorded = self.provenance.get("weights_sha256")
        if recorded is None or next(vit.parameters()).is_meta or recorded == weights_hash(vit):
            return
        raise InputError(
            f"the artifact of the repair {self.type!r} was made from other weights than the model "
            "has (their SHA-256 differs), as after fine-tuning or with another checkpoint: make "
            f"one for these weights with {command}. A model in half precision or made with another "
            "img_size counts as other too: apply the repair first, then use .half() or .to()"
        )


def _kept(name: str, tensor: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise InputError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    kept = tensor.detach().cpu()
    if kept.is_floating_point():
        kept = kept.float()
        if not kept.isfinite().all():
            raise InputError(f"{name}: expected finite numbers, got NaN or infinite ones")
    return kept.clone(memory_format=torch.contiguous_format)
