"""Test-time registers as tokens: the repair of arXiv 2506.08010, which trains nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.controls import cleared_options, random_neurons
from ttr_backbones.neuron_search.provenance import provenance, recorded_search
from ttr_backbones.neuron_search.search import FoundNeurons, find_register_neurons
from ttr_backbones.neuron_search.tune import tune_register_neurons
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.controls import check_control
from ttr_backbones.repairs.neuron_list import (
    TYPE,
    artifact_of_neurons,
    write_list,
)
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.vits.edit import Fill, Peak
from ttr_backbones.vits.edit_site import EditSite
from ttr_backbones.vits.neurons import RegisterNeurons, model_name
from ttr_backbones.vits.register_tokens import num_test_time_registers
from ttr_backbones.vits.registers import add_test_time_registers

_BY_HAND = {
    "top_k": "by hand, one plain search (Algorithm 1): number of neurons (10)",
    "detect_block": "by hand: norms after this block (-1)",
    "threshold": "by hand: norm of an outlier, or a rule: gap, mean_std, median_mad (gap)",
    "bottom_block": "by hand: first block ranked (0)",
    "top_block": "by hand: last one (the detection block)",
    "include_cls": "by hand: whether CLS can be an outlier too (False)",
    "sparsity": "by hand: leave out neurons that are on in most tokens (True)",
}
_MOVES = {
    "num": "number of registers (what the fit found best, else 1)",
    "peak": "what moves to them, `edit.PEAKS` (neuron)",
    "keep_cls": "leave CLS, or that many tokens of the prefix, as they are (False)",
    "fill": "what stays at the other tokens, `edit.FILLS` (zero)",
    "scale": "factor on what moves, one number or one per register (1)",
    "positions": "flat patch indices that receive it in place of registers",
}


@register_repair
class TestTimeRegisters(Repair):
    """The peaks of the register neurons move to further, untrained tokens."""

    __test__ = False  # pytest takes names like this one for tests

    type = TYPE
    label = "test-time register"
    colour = "#0072b2"
    fit_options: ClassVar[Mapping[str, str]] = {
        "neurons": "the list, a JSON file, or auto for the one that ships; by default it is "
        "searched on the images",
        **_BY_HAND,
        **_MOVES,
    }
    options: ClassVar[Mapping[str, str]] = {
        "neurons": "'auto', a JSON path, {block: [unit, ...]} or RegisterNeurons",
        **_MOVES,
        "control": "'random' neurons of the same blocks in place of the list's, as many and drawn "
        "once and for all; or the list's, only 'cleared', without a register",
    }
    controls: ClassVar[Mapping[str, str]] = {
        "random": "random neurons",
        "cleared": "neurons cleared",
    }
    swaps = (EditSite,)
    suffix = ".json"
    written_suffix = ".json"
    distributed = True

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        neurons: RegisterNeurons | Mapping[int, list[int]] | str | Path | None = None,
        top_k: int | None = None,
        detect_block: int | None = None,
        threshold: float | str | None = None,
        bottom_block: int | None = None,
        top_block: int | None = None,
        include_cls: bool | None = None,
        sparsity: bool | None = None,
        num: int | None = None,
        peak: Peak | None = None,
        keep_cls: bool | None = None,
        fill: Fill | None = None,
        scale: float | Sequence[float] | None = None,
        positions: Sequence[int] | None = None,
    ) -> Artifact:
        """Search the neurons, unless they are given.

        Without an option "by hand" it is `tune_register_neurons`, which measures what it finds on
        images held out; with one it is `find_register_neurons`.

        Raises:
            NoOutliersError: the model has no outliers on these images.
            InputError: neurons, and how to search them.
        """
        named = {
            "top_k": top_k,
            "detect_block": detect_block,
            "threshold": threshold,
            "bottom_block": bottom_block,
            "top_block": top_block,
            "include_cls": include_cls,
            "sparsity": sparsity,
        }
        by_hand = {name: value for name, value in named.items() if value is not None}
        if neurons is None:
            neurons = _searched(vit, images, by_hand)
        elif by_hand:
            raise InputError(
                f"{', '.join(by_hand)} say how neurons are searched, and `neurons` are given: "
                "leave one of both out"
            )
        elif isinstance(neurons, str | Path):
            neurons = RegisterNeurons.named(neurons, model_name(vit))
        elif not isinstance(neurons, RegisterNeurons):
            neurons = RegisterNeurons("", neurons)
        neurons.check(vit)
        moves = (num, peak, keep_cls, fill, scale, positions)
        chosen = {k: v for k, v in zip(_MOVES, moves, strict=True) if v is not None}
        options = {**neurons.recorded_options, **chosen}
        artifact = artifact_of_neurons(neurons, options)
        self.check(artifact)
        return artifact

    def apply(
        self,
        vit: nn.Module,
        artifact: Artifact,
        *,
        neurons: Any = None,
        control: Literal["random", "cleared"] | None = None,
        **options: Any,
    ) -> None:
        """Add the registers; see `add_test_time_registers`.

        Raises:
            InputError: no such control.
        """
        listed = self.neurons(artifact) if neurons is None else neurons
        moves = {**_moves(artifact), **options}
        if control is not None:
            check_control(self.type, control)
        if control == "cleared":
            moves = cleared_options(moves)
        elif control == "random":
            listed = RegisterNeurons.named(listed, model_name(vit))
            listed = random_neurons(vit, listed, torch.Generator().manual_seed(0))
        add_test_time_registers(vit, listed, **moves)

    def describe(self, vit: Any) -> dict[str, Any]:
        """The neurons, the number of registers and the options of the edit."""
        described: dict[str, Any] = vit.describe()
        return described

    def tokens_added(self, vit: nn.Module) -> int:
        """The registers."""
        return num_test_time_registers(vit)

    def caption(self, num: int) -> str:
        """Count the registers."""
        return "one test-time register" if num == 1 else f"{num} test-time registers"

    def token_options(self, artifact: Artifact, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the artifact and of the config."""
        return {**_moves(artifact), **{k: v for k, v in options.items() if k in _MOVES}}

    def check(self, artifact: Artifact) -> None:
        """A list, and options that may go with it."""
        if not isinstance(artifact.facts.get("layers"), dict) or artifact.tensors:
            raise InputError(
                "an artifact of type='test_time' has `layers`, {block: [unit, ...]}, and no tensors"
            )
        self.neurons(artifact)
        unknown = artifact.facts.keys() - {"layers", *_MOVES}
        if unknown:
            raise InputError(
                f"an artifact of type='test_time' with the unknown options "
                f"{', '.join(sorted(unknown))}: expected some of {', '.join(_MOVES)}"
            )
        _check_scale(artifact.facts.get("scale", 1.0))

    def neurons(self, artifact: Artifact) -> RegisterNeurons:
        """The list, with its provenance."""
        listed = artifact.provenance.get("neurons") or {}
        return RegisterNeurons(artifact.model, artifact.facts["layers"], listed)

    def read(self, path: str | Path) -> Artifact:
        """Read a list, which stays with the weights that it was found on, or an artifact."""
        if Path(path).suffix != self.suffix:
            return super().read(path)
        neurons = RegisterNeurons.load(path)
        return artifact_of_neurons(neurons, neurons.edit_options, bound=True)

    def write(self, artifact: Artifact, path: str | Path) -> None:
        """Write the list, and beside it how its neurons move and what the fit took."""
        write_list(self.neurons(artifact), _moves(artifact), artifact.provenance, path)

    def search(self, artifact: Artifact) -> FoundNeurons | None:
        """The search of the list, if it is recorded there."""
        return recorded_search(self.neurons(artifact))

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Take the neurons as they are: which ones costs nothing."""
        return self.fit(vit, images, neurons=neurons)

    def choose(self, model: str, options: Mapping[str, Any]) -> tuple[Artifact, dict[str, Any]]:
        """Take the list that `neurons` names, or the artifact."""
        left = dict(options)
        neurons, artifact = left.pop("neurons", None), left.pop("artifact", None)
        if (neurons is None) == (artifact is None):
            raise InputError(
                "repair=dict(type='test_time') needs `neurons`: 'auto', a JSON path, {block: "
                "[unit, ...]}, RegisterNeurons; or `artifact`, a file of fit_repair; not both"
            )
        if artifact is not None:
            return self.named(artifact, model), left
        listed = RegisterNeurons.named(neurons, model)
        return artifact_of_neurons(listed, listed.edit_options), left

    def is_auto(self, options: Mapping[str, Any]) -> bool:
        """Whether the list is the one that ships."""
        return "auto" in (options.get("neurons"), options.get("artifact"))

    def auto(self) -> dict[str, Any]:
        """The list that ships."""
        return {"type": self.type, "neurons": "auto"}

    def shipped(self, model: str) -> Artifact:
        """The list that ships, as an artifact."""
        listed = RegisterNeurons.bundled(model)
        return artifact_of_neurons(listed, listed.edit_options)

    def command(self, model: str = "MODEL") -> str:
        """The search."""
        return f"`ttrb find-neurons {model} --images DIR --out FILE.json`"


def _searched(vit: nn.Module, images: ImageBatches, by_hand: Mapping[str, Any]) -> RegisterNeurons:
    found: FoundNeurons
    if not by_hand:
        found = tune_register_neurons(vit, images)
    else:
        found = find_register_neurons(vit, images, **by_hand)
    return RegisterNeurons(found.model, found.layers, provenance(found, vit, images))


def _moves(artifact: Artifact) -> dict[str, Any]:
    return {name: value for name, value in artifact.facts.items() if name != "layers"}


def _check_scale(scale: Any) -> None:
    numbers = scale if isinstance(scale, list) else [scale]
    if any(not isinstance(each, int | float) or not math.isfinite(each) for each in numbers):
        raise InputError(f"scale={scale!r}: expected finite numbers")
