"""Fit a repair to a model on photographs, and measure what it does beside the model as it is."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.progress import ProgressBar, StepBar
from ttr_backbones.atomic import check_writable
from ttr_backbones.cli.arguments import add_cfg_options
from ttr_backbones.cli.exit_codes import EXIT_NO_OUTLIERS
from ttr_backbones.cli.list_doubts import warn_of_doubts
from ttr_backbones.cli.model_and_images import add_model_arguments, load, photographs, tell_bad
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
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
        "are left; 2: wrong input; 3: a repair that needs outliers found none."
    )
    parser.usage = "ttrb repair TYPE MODEL|CONFIG --images DIR --out FILE [options]"
    parser.add_argument(
        "type",
        metavar="TYPE",
        help="type of a repair, a name of configs/repairs, or a file like those there",
    )
    add_model_arguments(parser, or_config=True)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.safetensors",
        help="the artifact; of a training, a picture of its loss goes beside it",
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
    from ttr_backbones.repairs.fit_arguments import fit_arguments

    if not arguments or arguments[0].startswith("-"):
        return
    repair = _repair(arguments[0])
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
        group.add_argument(
            argument.option,
            dest=f"fit_{argument.name}",
            metavar=words if argument.words and not argument.kinds else argument.name.upper(),
            help=f"{argument.help}{default}".replace("%", "%%"),
        )


def run(args: argparse.Namespace) -> int:
    """Fit, write, measure, print."""
    from ttr_backbones.app.vit_source import vit_source
    from ttr_backbones.images.photos import photo_files
    from ttr_backbones.registers import NoOutliersError
    from ttr_backbones.repairs import fit_repair
    from ttr_backbones.repairs.effects import measure_effects

    repair = _repair(args.type)
    _check_out(args.out, repair)
    if args.compare_on is not None:
        photo_files(args.compare_on)  # before the weights: they may be gigabytes to fetch
    options = _options(args, repair)
    bar = ProgressBar()
    try:
        vit, images = load(args, bar, vit_source(args))
        try:
            artifact = fit_repair(repair.type, vit, images, on_step=StepBar(bar.line), **options)
        except NoOutliersError as error:
            return _without_outliers(error, args.out, bar)
        _save(artifact, args.out)
        bar.close()
        tell_bad(images)
        print(f"wrote {args.out}, to be used as {_in_config(repair, args.out)}", flush=True)
        neurons = repair.neurons(artifact)
        if neurons is not None:
            warn_of_doubts(neurons, vit, max(images.size or (0,)))
        others = images
        if args.compare_on is not None:
            others = photographs(args, args.compare_on, vit, bar)
        effects = measure_effects(vit, {repair.type: artifact}, others)
    finally:
        bar.close()
    if others is not images:
        tell_bad(others)
    return _tell(repair, artifact, effects, args.out)


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
    suffixes = dict.fromkeys((".safetensors", repair.suffix))
    if out.suffix not in suffixes or out.is_dir():
        raise InputError(f"--out {out}: expected a file that ends in {' or '.join(suffixes)}")
    check_writable(out.parent)


def _save(artifact: Artifact, out: Path) -> None:
    from ttr_backbones.repairs import repair_named

    repair = repair_named(artifact.type)
    neurons = repair.neurons(artifact)
    if out.suffix == ".json" and neurons is not None:
        neurons.save(out)
    else:
        artifact.save(out)


def _in_config(repair: Repair, out: Path) -> str:
    from ttr_backbones.repairs.choice import repair_text

    what = "neurons" if out.suffix == ".json" else "artifact"
    return repair_text({"type": repair.type, what: str(out)})


def _without_outliers(error: Exception, out: Path, bar: ProgressBar) -> int:
    bar.close()
    print(textwrap.fill(str(error), 100))
    print(f"ttrb: no outliers, so no repair: {out} was not written", file=sys.stderr)
    return EXIT_NO_OUTLIERS


def _tell(repair: Repair, artifact: Artifact, effects: Effects, out: Path) -> int:
    from ttr_backbones.repairs.fit_facts import fit_facts
    from ttr_backbones.repairs.judgement import judge
    from ttr_backbones.report.effects_text import effects_text, where_outliers_are
    from ttr_backbones.report.loss_picture import draw_loss, loss_line

    fit = fit_facts(artifact)
    if fit.loss:
        print(f"loss {loss_line(fit.loss)}")
        picture = out.with_suffix(".png")
        draw_loss(
            fit.loss, picture, title=f"{repair.label}, {artifact.model}: loss of the training"
        )
        print(f"picture: {picture}")
    print(f"\n{textwrap.fill(where_outliers_are(effects), 100)}")
    print(effects_text(effects, {repair.type: fit}, {repair.type: repair.label}))
    verdict = judge(effects, repair.type, repair.type)
    print(f"\n{textwrap.fill(verdict.words, 100)}")
    told = dataclasses.replace(
        artifact, provenance={**artifact.provenance, "verdict": verdict.words}
    )
    if out.suffix != ".json":
        told.save(out)
    return EXIT_FAILED if verdict.removes is False else 0
