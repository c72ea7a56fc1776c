"""The `repair` of a config: which one, from which artifact, with which options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.neuron_search.provenance import weight_differences
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.controls import control_words, split_control, with_control
from ttr_backbones.repairs.registry import REPAIRS, apply_repair, load_repair, repair_named
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.repairs.test_time import TestTimeRegisters
from ttr_backbones.vits.neurons import RegisterNeurons

NO_REPAIR = "none"
DEFAULT = TestTimeRegisters.type  # the method that this package is about
IN_RECIPES = "ttr"  # its name in those of recipes, and of its file in configs/repairs


@dataclass(frozen=True)
class ConfiguredRepair:
    """A config's `repair` with everything looked up.

    Args:
        repair: which one.
        artifact: what is applied.
        options: what `apply_repair` takes beside it.
    """

    repair: Repair
    artifact: Artifact
    options: Mapping[str, Any]

    @property
    def neurons(self) -> RegisterNeurons | None:
        """The register neurons that it acts on, if it does."""
        return self.repair.neurons(self.artifact)

    @property
    def kind(self) -> str:
        """Its type, and which control it is: "test_time:random"."""
        control = self.repair.control(self.artifact, self.options)
        return f"{self.repair.type}:{control}" if control else self.repair.type

    @property
    def is_control(self) -> bool:
        """Whether it is a control, and no repair."""
        return self.kind != self.repair.type

    @property
    def label(self) -> str:
        """Name in tables: "test-time register, random neurons (control)"."""
        words = control_words(self.artifact, self.options)
        return ", ".join(filter(None, (self.repair.label, words)))

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that is equal where the same is done, wherever its files lie."""
        return {"type": self.repair.type, **self.options, "artifact": self.artifact.sha256}

    @property
    def token_options(self) -> dict[str, Any]:
        """The arguments of `add_test_time_registers` that do the same by tokens."""
        return self.repair.token_options(self.artifact, self.options)

    def doubts(self) -> list[str]:
        """Say, in sentences, what is doubtful about it for every model."""
        neurons = self.neurons
        if neurons is None or "doubt" not in neurons.provenance:
            return []
        return [f"The register neurons of {neurons.model}: {neurons.provenance['doubt']}"]

    def differences(self, vit: nn.Module) -> list[str]:
        """Say, in sentences, how `vit` differs from what it was made for, if it may be applied."""
        neurons = self.neurons
        if neurons is None or "weights_sha256" in self.artifact.provenance:
            return []  # other weights are refused
        return [
            f"The register neurons of {neurons.model}: {difference}"
            for difference in weight_differences(neurons, vit)
        ]

    def apply(self, vit: nn.Module) -> nn.Module:
        """Repair `vit`; see `apply_repair`."""
        return apply_repair(vit, self.artifact, **self.options)


def repair_options(model: str, repair: Any, *, frozen: bool = True) -> ConfiguredRepair | None:
    """Check a config's `repair` and look everything up.

    Args:
        model: the tagged timm name that the artifact has to belong to.
        repair: dict(type=..., ...) with `artifact` ("auto", what ships, by default; a path; an
            `Artifact`) and the repair's own `options`; None means the model as it is. An option
            that is None counts as not given, so that a command line can take one out of a config.
        frozen: whether the model's parameters stay as they are.

    Raises:
        MissingFileError: no such file.
        InputError: no `type`, an option that does not exist or belongs to another type, an
            artifact that cannot be had, or a repair that changes weights of a trained model.
    """
    if repair is None:
        return None
    if not isinstance(repair, Mapping):
        words = {**REPAIRS[DEFAULT].auto()}
        if isinstance(repair, str | list):
            words["neurons"] = repair
        raise InputError(f"repair={repair!r}: expected None or a dict, as in {repair_text(words)}")
    options = {option: value for option, value in repair.items() if value is not None}
    kind = options.pop("type", None)
    if kind is None:
        raise InputError(f"repair needs `type`, one of {', '.join(map(repr, REPAIRS))}")
    found = repair_named(kind)
    for option in options:
        if option not in ("artifact", *found.options):
            raise InputError(_why_not(option, found, model))
    if found.changes_weights and not frozen:
        others = [f"type={name!r}" for name, other in REPAIRS.items() if not other.changes_weights]
        raise InputError(
            f"repair=dict(type={kind!r}) changes weights of the model, and frozen=False trains "
            f"them: use frozen=True, or {' or '.join(others)}, which leaves the weights alone"
        )
    return ConfiguredRepair(found, *found.choose(model, options))


def parse_repair(text: str, current: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Return a config's `repair` from a word of the command line.

    Args:
        text: "none"; a repair's type ("ttr" is short for test_time), which takes the artifact that
            ships; "auto", the same of
            test-time registers; the path of an artifact; or that of a neuron list, whose options
            stay those of `current` if it has neurons. Behind any of these, ":random" and the like
            take a control of it (`repairs.controls`).
        current: the config's.

    Raises:
        MissingFileError: no such file.
        InputError: it is none of these.
    """
    what, control = split_control(text)
    if control:
        return with_control(parse_repair(what, current) or {"type": NO_REPAIR}, control)
    if text == NO_REPAIR:
        return None
    text = DEFAULT if text == IN_RECIPES else text
    if text in ("auto", *REPAIRS):
        return with_neurons(text, current) if text == "auto" else REPAIRS[text].auto()
    path = Path(text)
    suffixes = {repair.suffix for repair in REPAIRS.values()}
    if path.suffix not in suffixes:
        known = (NO_REPAIR, "auto", *REPAIRS)
        raise InputError(
            f"{unknown_name('repair', text, known)} Expected one of these, or a file that ends in "
            f"{' or '.join(sorted(suffixes))}"
        )
    artifact = load_repair(path)
    if path.suffix == REPAIRS[DEFAULT].suffix:
        return with_neurons(text, current)
    return {"type": artifact.type, "artifact": text}


def parse_repairs(texts: Sequence[str], model: str) -> dict[str, ConfiguredRepair]:
    """Look up several repairs of the command line, by names that tell them apart.

    Args:
        texts: see `parse_repair`; "none" is no repair and left out.
        model: the tagged timm name that the artifacts have to belong to.

    Returns:
        By type and control; by these and file where several are alike.

    Raises:
        MissingFileError: no such file.
        InputError: see `parse_repair` and `repair_options`.
    """
    found = [(text, repair_options(model, parse_repair(text))) for text in texts]
    chosen = [(text, choice) for text, choice in found if choice is not None]
    kinds = [choice.kind for _, choice in chosen]
    return {
        kind
        if kinds.count(kind) == 1
        else f"{kind}, {Path(split_control(text)[0]).name}": number_of_list(choice)
        for kind, (text, choice) in zip(kinds, chosen, strict=True)
    }


def number_of_list(choice: ConfiguredRepair) -> ConfiguredRepair:
    """Take the number of registers that a list was found with, unless the options say another."""
    number = None if choice.neurons is None else choice.neurons.provenance.get("num_registers")
    if not number or "num" not in choice.repair.options:
        return choice
    options = {**choice.token_options, **choice.options}
    return (
        choice if "num" in options else replace(choice, options={**choice.options, "num": number})
    )


def with_neurons(neurons: Any, current: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a config's `repair` that moves `neurons`, else as `current` if that moves some too."""
    kept = dict(current or {})
    if kept.get("type") != DEFAULT:
        kept = {}
    for name in ("artifact", "control"):  # who names a list means it, and no control of another
        kept.pop(name, None)
    return {**kept, "type": DEFAULT, "neurons": neurons}


def is_auto(repair: Mapping[str, Any]) -> bool:
    """Whether a config's `repair` leaves it to what ships for the model."""
    return repair_named(repair.get("type")).is_auto(repair)


def repair_text(repair: Mapping[str, Any]) -> str:
    """Write a config's `repair` as in a config file."""
    return f"repair=dict({', '.join(f'{name}={value!r}' for name, value in repair.items())})"


def _why_not(option: str, repair: Repair, model: str) -> str:
    if option in repair.fit_options:
        return (
            f"repair: {option!r} is no option of type={repair.type!r} any more: it was fixed when "
            f"the artifact was made. {repair.command(model)} makes others, to be given as "
            f"artifact=FILE. {option}=None takes the option out"
        )
    others = [name for name, other in REPAIRS.items() if option in other.options]
    if others:
        return (
            f"repair: {option!r} is an option of type={' and '.join(map(repr, others))}, not of "
            f"{repair.type!r}: change the type, or leave it out ({option}=None)"
        )
    known = ("type", "artifact", *repair.options)
    return unknown_name("option of repair", option, known)
