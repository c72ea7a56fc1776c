"""Which protocols are run: what trains nothing, and trainings in small or as published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes import axis_files, protocol_facts, protocol_files, recipe

# Of the methods of open-vocabulary segmentation two that go with every repair, on rows of a
# classifier: texts need a tower.
_BY_ROWS = ("vanilla_classifier_voc20", "maskclip_classifier_voc20")


@dataclass(frozen=True)
class Suite:
    """The protocols of a benchmark.

    Args:
        protocols: names of `protocol_files`.
        iterations: of the trainings; None as their files say.
        others: protocol -> why it is not among them.
    """

    protocols: tuple[str, ...]
    iterations: int | None
    others: dict[str, str]

    def options(self, name: str, protocol: str) -> list[str]:
        """Return what changes the config `name` of a protocol, as `--cfg-options` of compare."""
        if self.iterations is None or not _trains(protocol):
            return []
        length = self.iterations
        changes = [f"max_iters={length}", f"val_interval={length}", f"val_begin={length + 1}"]
        return [f"{name}:train_cfg.{change}" for change in changes]

    def changed(self, protocol: str) -> str:
        """Say how the training differs from that of the protocol's file, "" if it does not."""
        if not self.options("", protocol):
            return ""
        return f"{self.iterations} of {_iterations(protocol)} iterations"


def choose_suite(name: str, protocols: Sequence[str] | None, iterations: int | None) -> Suite:
    """Return the protocols of a suite, or those that are named.

    Args:
        name: "short" or "full".
        protocols: names in its place.
        iterations: of every training; None takes 50 for the short suite, and those of the files.

    Raises:
        InputError: an unknown name.
    """
    known = protocol_files()
    for protocol in protocols or ():
        if protocol not in known:
            raise InputError(f"--protocols: {unknown_name('protocol', protocol, known)}")
    if protocols and iterations is not None and not any(map(_trains, protocols)):
        raise InputError(f"--iterations {iterations}: nothing of {','.join(protocols)} is trained")
    if protocols is not None:
        return Suite(tuple(protocols), iterations, {})
    alone = [*axis_files("protocols"), *_BY_ROWS]
    others = {each: why for each in alone if (why := _left_out(name, each))}
    if iterations is None and name == "short":
        iterations = 50
    chosen = [each for each in alone if each not in others]
    more = len(known) - len(alone)
    others[f"{more} more of open-vocabulary segmentation"] = (
        "methods times data sets, most of which need texts: name them with --protocols"
    )
    # What trains nothing is quick: its numbers come first.
    return Suite(tuple(sorted(chosen, key=_trains)), iterations, others)


def _left_out(suite: str, protocol: str) -> str:
    trial = protocol_facts(protocol).trial
    if suite == "full":
        return "a trial run: `--suite short` has it" if trial else ""
    if trial or not _trains(protocol):
        return ""
    return f"trains {_iterations(protocol):,} iterations: `--suite full` has it"


def _trains(protocol: str) -> bool:
    return recipe(protocol).get("train_cfg") is not None


def _iterations(protocol: str) -> int:
    return int(recipe(protocol).train_cfg.max_iters)
