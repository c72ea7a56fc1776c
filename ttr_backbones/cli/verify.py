"""Check repairs, or a list of register neurons, on other images; exit code 1 if one fails."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.app.launcher import add_launcher, is_first, join_processes
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.cli.fitted_controls import (
    CONTROLS,
    add_fit_images,
    fit_controls,
    fitted_control_file,
    unfitted_controls,
)
from ttr_backbones.cli.list_doubts import warn_of_doubts
from ttr_backbones.cli.model_and_images import add_model_arguments, load, warn_of_left_out_images
from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ttr_backbones.neuron_search.verification import Verification
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.repairs.from_config import ConfiguredRepair

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb verify`."""
    parser.description = (
        "Runs a model without and with test-time registers on photographs and prints a table: "
        "outliers, norms, and how similar everything else stays beside what other changes do "
        "to the same images: a shift by one pixel, clearing the neurons without a register, moving "
        "random ones. It passes if the outliers are gone, random neurons leave them, and the cost "
        "is at most that of the shift or half of that of clearing. With --repairs it does so for "
        "any repairs side by side, each judged by the shift alone, by norm and by direction, and "
        "with its verdict in words. Exit code 0: passed, 1: one failed, 2: wrong input."
    )
    add_model_arguments(parser)
    add_launcher(parser)
    parser.add_argument(
        "--neurons", type=Path, metavar="FILE", help="the list (default: the one that ships)"
    )
    parser.add_argument(
        "--repairs",
        metavar="REPAIR,...",
        help="repairs in place of a list: artifacts of `ttrb repair`, lists, and types of repairs, "
        f"of which what ships is taken; {CONTROLS}. A control is shown and does not count for the "
        "exit code",
    )
    add_fit_images(parser)
    parser.add_argument("--num", type=int, help="registers (default: the list's own number, or 1)")


def run(args: argparse.Namespace) -> int:
    """Verify, print the table."""
    if args.repairs is not None:
        return _verify_repairs(args)
    from ttr_backbones.neuron_search.verification import verify_neurons
    from ttr_backbones.registers import RegisterNeurons

    # First, because the weights may be gigabytes to fetch and the list may not exist.
    if args.neurons is None:
        neurons = RegisterNeurons.bundled(args.model)
    else:
        neurons = RegisterNeurons.load(args.neurons)
    num = neurons.recorded_options.get("num", 1) if args.num is None else args.num
    if not isinstance(num, int) or num < 0:
        raise InputError(f"the number of registers is {num!r}: expected an integer of at least 0")
    join_processes(args)
    bar = ProgressBar()
    try:
        vit, images = load(args, bar)
        neurons.check(vit)
        size = images.size or (0, 0)
        warn_of_doubts(neurons, vit, max(size))
        seen = verify_neurons(vit, neurons, images, num=num)
    finally:
        bar.close()
    warn_of_left_out_images(images)
    if is_first():
        _print(seen, neurons, args.model, size)
    return 0 if seen.passed else EXIT_FAILED


def _verify_repairs(args: argparse.Namespace) -> int:
    """Measure repairs side by side, print the table and a verdict for each."""
    from ttr_backbones.repairs.effects import measure_effects
    from ttr_backbones.repairs.fit_facts import fit_facts
    from ttr_backbones.repairs.from_config import parse_repairs
    from ttr_backbones.repairs.judgement import judge
    from ttr_backbones.report.effects_text import effects_report

    for name in ("neurons", "num"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name} goes without --repairs, which may name the list itself")
    texts = comma_list(args.repairs)
    waiting = unfitted_controls(texts, args.fit_images)
    if waiting and args.launcher != "none":
        raise InputError(
            f"--repairs {waiting[0]}: this control is trained by one process, and kept: verify it "
            "without --launcher first"
        )
    known = [fitted_control_file(text) for text in texts if text not in waiting]
    choices = parse_repairs(known, args.model)
    if not choices and not waiting:
        raise InputError(f"--repairs {args.repairs}: expected at least one repair")
    join_processes(args)
    bar = ProgressBar()
    try:
        vit, images = load(args, bar)
        if waiting:
            _check_weights(choices, vit)  # before a long fit
        fit_controls(waiting, vit, args.fit_images, bar)
        choices = parse_repairs([fitted_control_file(text) for text in texts], args.model)
        for choice in choices.values():
            if choice.neurons is not None:
                warn_of_doubts(choice.neurons, vit, max(images.size or (0,)))
        artifacts = {name: choice.artifact for name, choice in choices.items()}
        options = {name: choice.options for name, choice in choices.items()}
        effects = measure_effects(vit, artifacts, images, options=options)
    finally:
        bar.close()
    warn_of_left_out_images(images)
    verdicts = {name: judge(effects, name, each.repair.type) for name, each in choices.items()}
    if is_first():
        fits = {name: fit_facts(artifact) for name, artifact in artifacts.items()}
        titles = {n: n.replace(c.kind, c.label, 1) for n, c in choices.items()}
        words = [
            f"{titles[n]}: {'' if choices[n].is_control else _passed(each.passed)}{each.words}"
            for n, each in verdicts.items()
        ]
        print(effects_report(effects, fits, titles, words))
    judged = [verdict for name, verdict in verdicts.items() if not choices[name].is_control]
    return 0 if all(verdict.passed for verdict in judged) else EXIT_FAILED


def _check_weights(choices: Mapping[str, ConfiguredRepair], vit: nn.Module) -> None:
    """Refuse an artifact of other weights."""
    from ttr_backbones.vits.class_swap import sharing_copy

    for choice in choices.values():
        choice.apply(sharing_copy(vit))


def _print(seen: Verification, neurons: RegisterNeurons, model: str, size: tuple[int, int]) -> None:
    from ttr_backbones.report.effects_text import effects_report
    from ttr_backbones.report.verification_effects import (
        TITLES,
        verification_effects,
        verification_words,
    )

    neurons_and_registers = f"{counted(len(neurons), 'neuron')}, {counted(seen.num, 'register')}"
    print(f"{neurons.model or model}: {neurons_and_registers}")
    verdict = f"{_passed(seen.passed)}{verification_words(seen)}"
    print(effects_report(verification_effects(seen, size), {}, TITLES, [verdict]))


def _passed(holds: bool) -> str:
    return "passed. " if holds else "FAILED. "


def counted(count: int, noun: str) -> str:
    """The number and the noun, with an s unless there is one."""
    return f"{count} {noun}{'s' * (count != 1)}"
