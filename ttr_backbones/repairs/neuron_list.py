"""A list of register neurons as the artifact of test-time registers, and as its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.vits.neurons import RegisterNeurons

TYPE = "test_time"
_OPTIONS = "options"  # of a list's file: how its neurons move, where that is not the default
_BESIDE = ("fit", "verdict")  # of an artifact's provenance, in a list's file


def artifact_of_neurons(
    neurons: RegisterNeurons, options: Mapping[str, Any] | None = None, *, bound: bool = False
) -> Artifact:
    """Return the artifact of test-time registers that move `neurons`.

    Args:
        neurons: the list.
        options: arguments of `add_test_time_registers` that go with it.
        bound: refuse other weights than those that the list was found on, if it says which.
    """
    layers = {str(block): units for block, units in neurons.layers.items()}
    listed = {k: v for k, v in neurons.provenance.items() if k not in (_OPTIONS, *_BESIDE)}
    provenance: dict[str, Any] = {"neurons": listed}
    provenance |= {name: neurons.provenance[name] for name in _BESIDE if name in neurons.provenance}
    if bound and "weights_sha256" in neurons.provenance:
        provenance["weights_sha256"] = neurons.provenance["weights_sha256"]
    facts = {"layers": layers, **(options or {})}
    return Artifact(TYPE, neurons.model, {}, facts, provenance)


def write_list(
    neurons: RegisterNeurons,
    moves: Mapping[str, Any],
    provenance: Mapping[str, Any],
    path: str | Path,
) -> None:
    """Write the list, and beside it how its neurons move and what the fit took.

    Args:
        neurons: the list.
        moves: arguments of `add_test_time_registers`.
        provenance: of the artifact.
        path: the JSON file.
    """
    moves = dict(moves)
    if moves.get("num") == 1 == neurons.provenance.get("num_registers", 1):
        del moves["num"]
    beside = {name: provenance[name] for name in _BESIDE if name in provenance}
    more = {**neurons.provenance, **beside, **({_OPTIONS: moves} if moves else {})}
    RegisterNeurons(neurons.model, neurons.layers, more).save(path)
