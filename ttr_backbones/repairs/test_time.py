"""Test-time registers as tokens: the repair of arXiv 2506.08010, which trains nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.provenance import provenance
from ttr_backbones.neuron_search.tune import tune_register_neurons
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.vits.edit import Fill, Peak
from ttr_backbones.vits.edit_site import EditSite
from ttr_backbones.vits.neurons import RegisterNeurons, model_name
from ttr_backbones.vits.register_tokens import num_test_time_registers
from ttr_backbones.vits.registers import add_test_time_registers

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

    type = "test_time"
    label = "test-time register"
    colour = "#0072b2"
    fit_options: ClassVar[Mapping[str, str]] = {
        "neurons": "the list, a JSON file, or auto for the one that ships; by default it is "
        "searched on the images",
        **_MOVES,
    }
    options: ClassVar[Mapping[str, str]] = {
        "neurons": "'auto', a JSON path, {block: [unit, ...]} or RegisterNeurons",
        **_MOVES,
    }
    swaps = (EditSite,)
    suffix = ".json"

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        neurons: RegisterNeurons | Mapping[int, list[int]] | str | Path | None = None,
        num: int | None = None,
        peak: Peak | None = None,
        keep_cls: bool | None = None,
        fill: Fill | None = None,
        scale: float | Sequence[float] | None = None,
        positions: Sequence[int] | None = None,
    ) -> Artifact:
        """Search the neurons, unless they are given.

        Raises:
            NoOutliersError: the model has no outliers on these images.
        """
        if neurons is None:
            found = tune_register_neurons(vit, images)
            num = found.num if num is None else num
            neurons = RegisterNeurons(found.model, found.layers, provenance(found, vit, images))
        elif isinstance(neurons, str | Path):
            neurons = RegisterNeurons.named(neurons, model_name(vit))
            num = neurons.provenance.get("num_registers") if num is None else num
        elif not isinstance(neurons, RegisterNeurons):
            neurons = RegisterNeurons("", neurons)
        neurons.check(vit)
        moves = (num, peak, keep_cls, fill, scale, positions)
        named = zip(("num", "peak", "keep_cls", "fill", "scale", "positions"), moves, strict=True)
        options = {name: value for name, value in named if value is not None}
        artifact = of_neurons(neurons, options)
        self.check(artifact)
        return artifact

    def apply(
        self, vit: nn.Module, artifact: Artifact, *, neurons: Any = None, **options: Any
    ) -> None:
        """Add the registers; see `add_test_time_registers`."""
        listed = self.neurons(artifact) if neurons is None else neurons
        add_test_time_registers(vit, listed, **{**_moves(artifact), **options})

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
        """The artifact's own and those of the config."""
        return {**_moves(artifact), **options}

    def check(self, artifact: Artifact) -> None:
        """A list, and options that may go with it."""
        if not isinstance(artifact.facts.get("layers"), dict) or artifact.tensors:
            raise InputError(
                "an artifact of type='test_time' has `layers`, {block: [unit, ...]}, and no tensors"
            )
        self.neurons(artifact)
        unknown = artifact.facts.keys() - {"layers", *_MOVES}
        if unknown:
            raise InputError(f"an artifact of type='test_time' with {', '.join(sorted(unknown))}")
        _check_scale(artifact.facts.get("scale", 1.0))

    def neurons(self, artifact: Artifact) -> RegisterNeurons:
        """The list, with its provenance."""
        listed = artifact.provenance.get("neurons") or {}
        return RegisterNeurons(artifact.model, artifact.facts["layers"], listed)

    def read(self, path: str | Path) -> Artifact:
        """Read a list, which stays with the weights that it was found on, or an artifact."""
        if Path(path).suffix != self.suffix:
            return super().read(path)
        return of_neurons(RegisterNeurons.load(path), bound=True)

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
        return of_neurons(RegisterNeurons.named(neurons, model)), left

    def is_auto(self, options: Mapping[str, Any]) -> bool:
        """Whether the list is the one that ships."""
        return "auto" in (options.get("neurons"), options.get("artifact"))

    def auto(self) -> dict[str, Any]:
        """The list that ships."""
        return {"type": self.type, "neurons": "auto"}

    def shipped(self, model: str) -> Artifact:
        """The list that ships, as an artifact."""
        return of_neurons(RegisterNeurons.bundled(model))

    def command(self, model: str = "MODEL") -> str:
        """The search."""
        return f"`ttrb find-neurons {model} --images DIR --out FILE.json`"


def of_neurons(
    neurons: RegisterNeurons, options: Mapping[str, Any] | None = None, *, bound: bool = False
) -> Artifact:
    """Return the artifact of test-time registers that move `neurons`.

    Args:
        neurons: the list.
        options: arguments of `add_test_time_registers` that go with it.
        bound: refuse other weights than those that the list was found on, if it says which.
    """
    layers = {str(block): units for block, units in neurons.layers.items()}
    provenance: dict[str, Any] = {"neurons": dict(neurons.provenance)}
    if bound and "weights_sha256" in neurons.provenance:
        provenance["weights_sha256"] = neurons.provenance["weights_sha256"]
    facts = {"layers": layers, **(options or {})}
    return Artifact(TestTimeRegisters.type, neurons.model, {}, facts, provenance)


def _moves(artifact: Artifact) -> dict[str, Any]:
    return {name: value for name, value in artifact.facts.items() if name != "layers"}


def _check_scale(scale: Any) -> None:
    numbers = scale if isinstance(scale, list) else [scale]
    if any(not isinstance(one, int | float) or not math.isfinite(one) for one in numbers):
        raise InputError(f"scale={scale!r}: expected finite numbers")
