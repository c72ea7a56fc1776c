"""`BakedRegisters`: what a test-time register gives to attention, as constants of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.vits.neurons import (
    LISTS,
    RegisterNeurons,
    may_belong,
    model_name,
    tagged_name,
)
from ttr_backbones.vits.weights_hash import weights_hash

_ENTRY = "baked_registers"
_COMMAND = "`ttrb bake MODEL --images DIR --out FILE.safetensors`"
_EXPECTED = f"expected a file that {_COMMAND} wrote"


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
                came = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise InputError(f"{name}: expected [blocks, heads, R, head_dim], got {came}")
            if not tensor.is_floating_point():
                raise InputError(f"{name}: expected floating-point numbers, got {tensor.dtype}")
            if not tensor.isfinite().all():
                raise InputError(f"{name}: expected finite numbers, got NaN or infinite ones")
            own = tensor.detach().float().cpu().clone(memory_format=torch.contiguous_format)
            object.__setattr__(self, name, own)
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
    def sha256(self) -> str:
        """Hash of the keys and values."""
        digest = hashlib.sha256()
        for tensor in (self.keys, self.values):
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    @property
    def num(self) -> int:
        """Number of registers R."""
        return int(self.keys.shape[2])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `add_test_time_registers` for the tokens that were measured."""
        told = {key: self.provenance[key] for key in ("peak", "scale") if key in self.provenance}
        return {"num": self.num, **told}

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: two tensors, and the rest as JSON in its header."""
        layers = {str(block): units for block, units in self.layers.items()}
        told = json.dumps({"model": self.model, "layers": layers, **self.provenance})
        tensors = {"keys": self.keys, "values": self.values}
        write_atomically(path, save(tensors, metadata={_ENTRY: told}))

    @classmethod
    def load(cls, path: str | Path) -> BakedRegisters:
        """Read a file that `save` wrote; nothing in it is executed.

        Raises:
            MissingFileError: no such file.
            InputError: another kind of file, a damaged one, or values that are not valid.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise MissingFileError(f"no baked registers at {path}: make the file with {_COMMAND}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is no safetensors file ({error}): {_EXPECTED}") from error
        try:
            told = json.loads(metadata.get(_ENTRY, "null"))
        except ValueError as error:
            raise InputError(f"{path}: its header is no JSON ({error}): {_EXPECTED}") from error
        if (
            not isinstance(told, dict)
            or not isinstance(told.get("model"), str)
            or not isinstance(told.get("layers"), dict)
            or tensors.keys() != {"keys", "values"}
        ):
            raise InputError(
                f"{path} holds no baked registers but {', '.join(sorted(tensors)) or 'nothing'}: "
                f"{_EXPECTED}"
            )
        model, layers = told.pop("model"), told.pop("layers")
        try:
            return cls(model, layers, **tensors, provenance=told)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def named(cls, given: Any, model: str) -> BakedRegisters:
        """Return those that a config names: "auto" (which ship for `model`), a path, or them.

        Raises:
            MissingFileError: no such file.
            InputError: none of these, none ship, or a file that cannot be used.
        """
        if isinstance(given, cls):
            return given
        if given == "auto":
            return cls.bundled(model)
        if isinstance(given, str | Path):
            return cls.load(given)
        raise InputError(f"artifact={given!r}: expected 'auto', a path or BakedRegisters")

    @classmethod
    def bundled(cls, model: str) -> BakedRegisters:
        """Return those that ship for `model`, a timm name as in `RegisterNeurons.bundled`.

        Raises:
            InputError: none ship for it; the message has the command that makes them.
        """
        tagged = tagged_name(model)
        path = LISTS / f"{tagged}.safetensors"
        if not path.is_file():
            shipped = ", ".join(sorted(found.stem for found in LISTS.glob("*.safetensors")))
            raise InputError(
                f"no baked registers ship for {tagged!r}. They ship for {shipped}. Make them with "
                f"`ttrb bake {model} --images DIR --out {model}.safetensors` and pass "
                f"artifact='{model}.safetensors'"
            )
        return cls.load(path)

    def check(self, vit: VisionTransformer) -> None:
        """Raise InputError unless they were made from the weights that `vit` has."""
        name = model_name(vit)
        if name and not may_belong(self.model, name):
            raise InputError(
                f"the baked registers belong to {self.model!r}, the model is {name!r}: load those "
                f"of the model, or make them with {_COMMAND}"
            )
        self.neurons.check(vit)
        attention = vit.blocks[0].attn
        head_dim = attention.qkv.out_features // 3 // attention.num_heads
        expected = (len(vit.blocks), attention.num_heads, self.num, head_dim)
        if self.keys.shape != expected:
            raise InputError(
                f"the baked registers are {tuple(self.keys.shape)}, the model needs {expected} "
                f"[blocks, heads, R, head_dim]: make them for it with {_COMMAND}"
            )
        recorded = self.provenance.get("weights_sha256")
        if recorded is not None and recorded != weights_hash(vit):
            raise InputError(
                "the baked registers were made from other weights than the model has (their "
                "SHA-256 differs), as after fine-tuning or with another checkpoint: make them for "
                f"these weights with {_COMMAND}. A model in half precision or made with another "
                "img_size counts as other too: add the registers first, then use .half() or .to()"
            )
