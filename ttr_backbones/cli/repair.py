"""Fit a repair to a model on photographs, and measure what it does beside the model as it is."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.launcher import add_launcher, is_first, join_processes
from ttr_backbones.app.progress import ProgressBar, StepBar
from ttr_backbones.atomic import check_writable
from ttr_backbones.cli.arguments import add_cfg_options
from ttr_backbones.cli.exit_codes import EXIT_NO_OUTLIERS
from ttr_backbones.cli.list_doubts import warn_of_doubts
from ttr_backbones.cli.model_and_images import (
    add_model_arguments,
    load,
    photographs,
    warn_of_left_out_images,
)
from ttr_backbones.cli.search_result import draw_found_neurons, print_found_neurons
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ttr_backbones.images.batches import ImageBatches
    from ttr_backbones.neuron_search.search import FoundNeurons
    from ttr_backbones.repairs import Artifact, Repair
    from ttr_backbones.repairs.effects import Effects

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb repair` that every repair has."""
    parser.description = (
        "Fits a repair, writes its artifact for repair=dict(type=TYPE, artifact=FILE), and then "
        "measures on photographs what it does: outliers by norm and by direction, largest norm, "
        "how similar everything else stays beside images shifted by a pixel, tokens, time. "
        "Prints a table and a verdict with every side effect. `ttrb repair TYPE --help` has the "
        "options of a repair. Exit code 0: the outliers are gone, or there were none; 1: outliers "
        "are left; 2: wrong input; 3: a repair that needs outliers found none. `ttrb find-neurons` "
        "is short for `ttrb repair test_time`, which measures on images that its search has not "
        "seen: it prints the table only with --compare-on, --neurons or another edit (--peak, ...)."
    )
    parser.usage = "ttrb repair TYPE MODEL|CONFIG --images DIR --out FILE [options]"
    parser.add_argument(
        "type",
        metavar="TYPE",
        help="type of a repair, a name of configs/repairs, or a file like those there",
    )
    add_fit_arguments(parser)


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is to be repaired, on which images, and where to."""
    add_model_arguments(parser, or_config=True)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the artifact, a .safetensors; of test_time a list of neurons, a .json. The picture "
        "of a training's loss or of a search goes beside it",
    )
    parser.add_argument(
        "--compare-on",
        type=Path,
        metavar="DIR",
        help="other photographs to measure on (default: those of --images)",
    )
    add_cfg_options(parser)


def add_arguments_of(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add the options of the repair that `arguments` begin with."""
    if arguments and not arguments[0].startswith("-"):
        add_fit_options(parser, _repair(arguments[0]))


def add_fit_options(parser: argparse.ArgumentParser, repair: Repair) -> None:
    """Add the options of a repair's fit."""
    from ttr_backbones.repairs.fit_arguments import fit_arguments

    if repair.distributed:
        add_launcher(parser)
    group = parser.add_argument_group(f"options of {repair.type}, {repair.label}")
    taken = parser._option_string_actions  # noqa: SLF001 -- argparse has no other way to ask
    for argument in fit_arguments(repair):
        if argument.option in taken:
            raise InputError(
                f"the repair {repair.type!r} calls an option of its fit {argument.name!r}, which "
                "`ttrb repair` has for itself: rename it"
            )
        shown = f"({argument.default})"
        default = "" if argument.default is None or shown in argument.help else f" {shown}"
        words = "{" + ",".join(map(str, argument.words)) + "}"
        # A switch may stand alone, and has an opposite.
        alone: dict[str, Any] = {"nargs": "?", "const": "true"} if bool in argument.kinds else {}
        destination = f"fit_{argument.name}"
        group.add_argument(
            argument.option,
            dest=destination,
            metavar=words if argument.words and not argument.kinds else argument.name.upper(),
            help=f"{argument.help}{default}".replace("%", "%%"),
            **alone,
        )
        if alone:
            group.add_argument(
                f"--no-{argument.option[2:]}",
                dest=destination,
                action="store_const",
                const="false",
                help=argparse.SUPPRESS,
            )


def run(args: argparse.Namespace) -> int:
    """Fit, write, measure, print."""
    return fit(_repair(args.type), args)


def fit(repair: Repair, args: argparse.Namespace) -> int:
    """Do it for a repair, with what `add_fit_arguments` and `add_fit_options` have read."""
    from ttr_backbones.app.vit_source import vit_source
    from ttr_backbones.images.photos import photo_files
    from ttr_backbones.registers import NoOutliersError
    from ttr_backbones.repairs import fit_repair
    from ttr_backbones.repairs.effects import measure_effects

    if is_first():
        _check_out(args.out, repair)
    if repair.distributed:
        join_processes(args)
    if args.compare_on is not None:
        photo_files(args.compare_on)  # before the weights: they may be gigabytes to fetch
    options = _options(args, repair)
    bar = ProgressBar()
    try:
        vit, images = load(args, bar, vit_source(args))
        others = images
        if args.compare_on is not None:
            others = photographs(args, args.compare_on, vit, bar)
        try:
            artifact = fit_repair(repair.type, vit, images, on_step=StepBar(bar.line), **options)
        except NoOutliersError as error:
            return _without_outliers(error, images, args.out, bar)
        searched = None if "neurons" in options else repair.search(artifact)
        _write(repair, artifact, searched, vit, images, args.out)
        bar.close()
        warn_of_left_out_images(images)
        _print_fitted(repair, artifact, searched, vit, images, args.out)
        effects = None
        if others is not images or not _is_measured(repair, searched, options):
            effects = measure_effects(vit, {repair.type: artifact}, others)
    finally:
        bar.close()
    if others is not images:
        warn_of_left_out_images(others)
    removed = effects is None or _print_effects(repair, artifact, effects, args.out)
    return 0 if removed and getattr(searched, "passed", True) else EXIT_FAILED


def _is_measured(repair: Repair, searched: FoundNeurons | None, options: Mapping[str, Any]) -> bool:
    """Whether the fit has measured what it found, on images held out and moved as it will be."""
    tuned = hasattr(searched, "passed")
    return searched is not None and not (tuned and options.keys() & repair.options.keys())


def _write(
    repair: Repair,
    artifact: Artifact,
    searched: FoundNeurons | None,
    vit: nn.Module,
    images: ImageBatches,
    out: Path,
) -> None:
    """Write the file, and draw a search; all processes share in the work for the picture."""
    if is_first():
        repair.write(artifact, out)
    if searched is not None:
        draw_found_neurons(searched, vit, images, out if is_first() else None)


def _print_fitted(
    repair: Repair,
    artifact: Artifact,
    searched: FoundNeurons | None,
    vit: nn.Module,
    images: ImageBatches,
    out: Path,
) -> None:
    if is_first():
        if searched is not None:
            print_found_neurons(searched, out)
        print(f"wrote {out}, to be used as {_in_config(repair, out)}", flush=True)
    neurons = repair.neurons(artifact)
    if neurons is not None:
        warn_of_doubts(neurons, vit, max(images.size or (0,)))


def _repair(name: str) -> Repair:
    """The repair of a type, of a name in configs/repairs, or of a file like those there."""
    from ttr_backbones.repairs import REPAIRS, repair_named

    if name in REPAIRS:
        return repair_named(name)
    from ttr_backbones.recipes import axis_files, repair_config, repair_imports

    if name in axis_files("repairs") or Path(name).suffix == ".py":
        for module in repair_imports(name):
            importlib.import_module(module)
        return repair_named(repair_config(name)["type"])
    return repair_named(name)


def _options(args: argparse.Namespace, repair: Repair) -> dict[str, Any]:
    from ttr_backbones.repairs.fit_arguments import fit_arguments

    texts = {each: getattr(args, f"fit_{each.name}") for each in fit_arguments(repair)}
    return {each.name: each.read(text) for each, text in texts.items() if text is not None}


def _check_out(out: Path, repair: Repair) -> None:
    """Say now, not after the work, that the file cannot be written."""
    if out.suffix != repair.written_suffix or out.is_dir():
        raise InputError(
            f"--out {out}: expected a file that ends in {repair.written_suffix}, what "
            f"{repair.type} writes"
        )
    try:
        check_writable(out.parent)
    except InputError as error:
        raise InputError(f"--out {out}: {error}") from error


def _in_config(repair: Repair, out: Path) -> str:
    from ttr_backbones.repairs.from_config import repair_text

    what = "neurons" if out.suffix == ".json" else "artifact"
    return repair_text({"type": repair.type, what: str(out)})


def _without_outliers(error: Exception, images: ImageBatches, out: Path, bar: ProgressBar) -> int:
    bar.close()
    warn_of_left_out_images(images)
    if is_first():
        print(textwrap.fill(str(error), 100))
        print(f"ttrb: no outliers, so no repair: {out} was not written", file=sys.stderr)
    return EXIT_NO_OUTLIERS


def _print_effects(repair: Repair, artifact: Artifact, effects: Effects, out: Path) -> bool:
    """Print what the repair does; return whether no outliers are left."""
    from ttr_backbones.repairs.fit_facts import fit_facts
    from ttr_backbones.repairs.judgement import judge
    from ttr_backbones.report.effects_text import effects_report
    from ttr_backbones.report.loss_picture import draw_loss, loss_line

    verdict = judge(effects, repair.type, repair.type)
    removed = verdict.removes is not False
    if not is_first():
        return removed
    fit = fit_facts(artifact)
    if fit.loss:
        print(f"loss {loss_line(fit.loss, fit.steps, fit.steps_trained)}")
        picture = out.with_suffix(".png")
        draw_loss(
            fit.loss, picture, title=f"{repair.label}, {artifact.model}: loss of the training"
        )
        print(f"picture: {picture}")
    titles = {repair.type: repair.label}
    print(f"\n{effects_report(effects, {repair.type: fit}, titles, [verdict.words])}")
    judged = {**artifact.provenance, "verdict": verdict.words}
    repair.write(dataclasses.replace(artifact, provenance=judged), out)
    return removed
