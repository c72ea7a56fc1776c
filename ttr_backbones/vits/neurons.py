"""`RegisterNeurons`: which MLP units of which checkpoint write the outliers, and who says so."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
from timm.models import get_pretrained_cfg
from torch import nn

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.package_data import NEURON_LISTS
from ttr_backbones.vits.family import family_of, naming_block

_FORMAT = 'expected JSON {"model": "<tagged timm name>", "layers": {"<block>": [<unit>, ...]}, ...}'


@dataclass(frozen=True)
class RegisterNeurons:
    """A sparse set of MLP units, addressed by 0-based block and 0-based unit.

    A unit is one input feature of the block's second linear layer (`mlp.fc2` in timm), that is the
    activation after the non-linearity and, in gated MLPs, after the gate (arXiv 2506.08010, 3.1).

    Args:
        model: timm name of the checkpoint, `arch.tag`, or `arch`, which fits every tag of it. A
            name that timm does not know, also '', is your own and fits every model.
        layers: {block: [unit, ...]}, at least one unit in all.
        provenance: how the list was found, any JSON value per key; saved beside the list.

    Raises:
        InputError: an empty list, a negative, repeated or non-integer index.
    """

    model: str
    layers: Mapping[int, list[int]]
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        layers = {_index(b, "block"): _units(b, units) for b, units in self.layers.items()}
        if not any(layers.values()):
            raise InputError(
                f"the register-neuron list of {self.model!r} is empty: expected at least one unit "
                "in {block: [unit, ...]}"
            )
        object.__setattr__(self, "layers", {b: layers[b] for b in sorted(layers) if layers[b]})

    def __len__(self) -> int:
        """Number of neurons over all blocks."""
        return sum(map(len, self.layers.values()))

    @property
    def edit_options(self) -> dict[str, Any]:
        """Arguments of `add_test_time_registers` that the list's file names, `options` there.

        Raises:
            InputError: they are no {name: value}.
        """
        options = self.provenance.get("options", {})
        if not isinstance(options, Mapping):
            raise InputError(
                f"options of the list of {self.model!r}: expected {{name: value}}, got {options!r}"
            )
        return dict(options)

    @property
    def recorded_options(self) -> dict[str, Any]:
        """The same, with the number of registers that a search found best."""
        num = self.provenance.get("num_registers")
        return {**({} if num is None else {"num": num}), **self.edit_options}

    def save(self, path: str | Path) -> None:
        """Write the list as JSON; the provenance keys stand beside `model` and `layers`."""
        layers = {str(block): units for block, units in self.layers.items()}
        text = json.dumps({"model": self.model, "layers": layers, **self.provenance}, indent=1)
        write_atomically(path, f"{text}\n".encode())

    @classmethod
    def load(cls, path: str | Path) -> RegisterNeurons:
        """Read a list that `save` wrote, or any JSON with `model` and `layers`.

        Raises:
            MissingFileError: no such file.
            InputError: not JSON, a key is missing, or an index is not valid.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(
                f"no register-neuron list at {path}: give the path of a JSON file, or compute one "
                "with `ttrb find-neurons MODEL --images DIR --out FILE.json`"
            )
        if path.suffix in (".safetensors", ".pth"):
            raise InputError(
                f"{path} is no register-neuron list but, by its name, a fitted repair: commands "
                "with --repairs take it there, a config as repair=dict(type=TYPE, artifact=FILE)"
            )
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}): {_FORMAT}") from error
        if not (
            isinstance(data, dict)
            and isinstance(data.get("model"), str)
            and isinstance(data.get("layers"), dict)
        ):
            raise InputError(f"{path} is no register-neuron list: {_FORMAT}")
        if data.get("indexing_base", 0) != 0:
            raise InputError(
                f"{path} counts from {data['indexing_base']}: expected 0-based blocks and units"
            )
        rest = {k: v for k, v in data.items() if k not in ("model", "layers")}
        try:
            return cls(data["model"], data["layers"], rest)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def named(cls, source: Any, model: str) -> RegisterNeurons:
        """Return the list that a config or a command line names.

        Args:
            source: "auto" (the list that ships), a JSON path, {block: [unit, ...]} or the list.
            model: timm name of the model that it is for.

        Raises:
            MissingFileError: no such file.
            InputError: none of these, none ships, or a list that is not valid.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, Mapping):
            return cls(model, source)
        if source == "auto":
            return cls.bundled(model)
        if isinstance(source, str | Path):
            return cls.load(source)
        raise InputError(
            f"neurons={source!r}: expected 'auto', a JSON path, {{block: [unit, ...]}} or "
            "RegisterNeurons"
        )

    @classmethod
    def bundled(cls, model: str) -> RegisterNeurons:
        """Return the list that ships for `model`.

        Args:
            model: tagged timm name; one without a tag stands for timm's default tag, as in
                `timm.create_model`.

        Raises:
            InputError: none ships for it; the message has the command that computes one.
        """
        tagged = tagged_name(model)
        path = NEURON_LISTS / f"{tagged}.json"
        if not path.is_file():
            shipped = sorted(found.stem for found in NEURON_LISTS.glob("*.json"))
            # Near enough for a slip of the keyboard: another size of the model is farther away.
            near = difflib.get_close_matches(tagged, shipped, n=1, cutoff=0.95)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"no register-neuron list ships for {tagged!r}. {hint}Lists ship for "
                f"{', '.join(shipped)}. Compute one with `ttrb find-neurons {model} --images DIR "
                f"--out {model}.json` and pass neurons='{model}.json'"
            )
        return cls.load(path)

    def check(self, vit: nn.Module) -> None:
        """Raise InputError unless `vit` is the list's model and has every block and unit of it."""
        name = model_name(vit)
        if name and not may_belong(self.model, name):
            raise InputError(
                f"the register neurons belong to {self.model!r}, the model is {name!r}: expected a "
                "list of the same checkpoint. Load the right list, or, if the weights really are "
                f'the same, say so in its file: "model": "{name}"'
            )
        depth = len(family_of(vit).blocks(vit))
        for block, units in self.layers.items():
            if block >= depth:
                raise InputError(
                    f"block {block} does not exist: {name or 'the model'} has blocks 0..{depth - 1}"
                )
            width = mlp_width(vit, block)
            if max(units) >= width:
                raise InputError(
                    f"unit {max(units)} of block {block} does not exist: its MLP has units "
                    f"0..{width - 1}"
                )


def mlp_width(vit: nn.Module, block: int) -> int:
    """Number of hidden units D of a block's MLP: the input width of its second linear layer.

    Raises:
        InputError: the block has not one standard MLP (parallel-block ViTs).
    """
    family = family_of(vit)
    with naming_block(block):
        return int(family.second_linear(family.blocks(vit)[block]).in_features)


def _index(value: object, what: str) -> int:
    """Read a block or unit index; JSON keys are strings of digits."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise InputError(f"{what} index {value!r}: expected a 0-based integer")


def _units(block: object, units: Iterable[object]) -> list[int]:
    if isinstance(units, str) or not isinstance(units, Iterable):
        raise InputError(f"block {block}: expected a list of unit indices, got {units!r}")
    indices = [_index(unit, f"block {block}: unit") for unit in units]
    repeated = sorted({unit for unit in indices if indices.count(unit) > 1})
    if repeated:
        raise InputError(f"block {block} lists units {repeated} more than once")
    return indices


def model_name(vit: nn.Module) -> str:
    """Tagged timm name of `vit`, or '' for a model that was not made by `timm.create_model`."""
    cfg = getattr(vit, "pretrained_cfg", None) or {}
    return ".".join(filter(None, [cfg.get("architecture"), cfg.get("tag")]))


def tagged_name(model: str) -> str:
    """The name with its tag; one without stands for timm's default tag."""
    cfg = None if "." in model else get_pretrained_cfg(model)
    return f"{model}.{cfg.tag}" if cfg is not None else model


def may_belong(listed: str, model: str) -> bool:
    """Whether what is made for `listed` fits the checkpoint `model`; both are timm names."""
    (arch, _, tag), (other_arch, _, other_tag) = listed.partition("."), model.partition(".")
    if not timm.is_model(arch):
        return True
    return arch == other_arch and (not tag or not other_tag or tag == other_tag)
