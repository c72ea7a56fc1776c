"""Train and test configs with every repair and seed, and make one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.atomic import check_writable, write_atomically
from ttr_backbones.cli.arguments import add_recipe_options, integer_list
from ttr_backbones.cli.fitted_controls import (
    CONTROLS,
    add_fit_images,
    fit_controls,
    fitted_control_file,
    unfitted_controls,
)
from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from ttr_backbones.compare.cells import CellResult
    from ttr_backbones.compare.plan import Cell, ComparisonPlan
    from ttr_backbones.compare.side_effects import SideEffects


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configs, the axes of the table, and what changes the configs."""
    parser.description = (
        "Trains and tests every config with every repair and every seed, and prints "
        "mean ± standard deviation beside the paper's number. Segmentation, depth and object "
        "discovery go into one table. Whatever is finished in DIR is reused, and a run that was "
        "interrupted goes on from its last checkpoint: repeat the command."
    )
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="config file, or a name")
    add_recipe_options(parser)
    parser.add_argument(
        "--repairs",
        metavar="KIND,...",
        help="any of none, trained (the _reg4 backbone of that name), repairs by their type or the "
        "name of their config (the config's, or else what ships for the model), artifacts and "
        f"lists; {CONTROLS}; default: none, the config's or test_time, trained",
    )
    add_fit_images(parser)
    parser.add_argument(
        "--images", type=Path, metavar="DIR",
        help="photographs on which to measure what the repairs do besides: outliers by norm and by "
        "direction, largest norm, cosine of the other patches, top-1 and kNN agreement, tokens, "
        "time per image; at most 64, spread evenly",
    )  # fmt: skip
    parser.add_argument("--seeds", default="0,1,2", help="random seeds of the training (0,1,2)")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/compare"), metavar="DIR",
        help="folder of table.{txt,md,csv,html,png}, cells.csv and all runs (work_dirs/compare)",
    )  # fmt: skip
    parser.add_argument(
        "--data-root", nargs="+", action="extend", default=[], metavar="[FOR=]DIR",
        help="data_root of every data set; with FOR, a data set's type (NYUDepthV2) or a config's "
        "name ('*_voc07'), only there",
    )  # fmt: skip
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="[FOR:]KEY=VALUE",
        help="override values of every config; with FOR as above, only there",
    )  # fmt: skip
    # Options that take a list would swallow configs behind them.
    parser.usage = "ttrb compare CONFIG [CONFIG ...] [options]"


def run(args: argparse.Namespace) -> int:
    """Run or reuse every cell, print the table, and return 1 if a cell failed."""
    kinds, seeds = _kinds(args.repairs), integer_list("--seeds", args.seeds, least=0)
    from ttr_backbones.cli.exit_codes import exit_code_of
    from ttr_backbones.compare.run_cells import run_cells
    from ttr_backbones.compare.side_effects import measure_side_effects
    from ttr_backbones.images.photos import photo_files

    if args.images is not None:
        photo_files(args.images)
    waiting = unfitted_controls(kinds or (), args.fit_images)
    plan = _checked_plan(args, _without(kinds, waiting), seeds)
    check_writable(args.out)
    if waiting:
        _fit_controls(waiting, args)
        plan = _checked_plan(args, [fitted_control_file(kind) for kind in kinds or ()], seeds)
    ran = run_cells(plan.cells)
    outcomes, failed = ran.outcomes, ran.failed
    if ran.stopped is not None:
        _write(plan, outcomes, failed, args.out)
        print(
            f"ttrb: interrupted; {len(outcomes)} of {len(plan.cells)} cells are done. The same "
            "command goes on from here: what is finished is reused, and training resumes from its "
            "last checkpoint.",
            file=sys.stderr,
        )
        return exit_code_of(ran.stopped)
    side_effects = None
    if args.images is not None:
        bar = ProgressBar()
        try:
            side_effects, notes = measure_side_effects(plan.cells, args.images, bar)
        finally:
            bar.close()
        plan.notes.extend(notes)
    print(_write(plan, outcomes, failed, args.out, side_effects), end="")
    if side_effects is None:
        print("\nWhat the repairs do besides, and cost, is measured with --images DIR.")
    names = ["table.md", "table.html", "table.csv", "cells.csv"]
    names += ["table.png"] if outcomes else []
    print("\n" + ", ".join(str(args.out / name) for name in names))
    return int(bool(failed))


def _without(kinds: list[str] | None, waiting: list[str]) -> list[str] | None:
    """The kinds that can be planned before the waiting controls are fitted, which takes long."""
    from ttr_backbones.compare.repair_names import NONE

    if not waiting or kinds is None:
        return kinds
    return list(dict.fromkeys([NONE, *(kind for kind in kinds if kind not in waiting)]))


def _checked_plan(
    args: argparse.Namespace, kinds: list[str] | None, seeds: list[int]
) -> ComparisonPlan:
    from ttr_backbones.compare.options import ConfigChanges
    from ttr_backbones.compare.plan import make_plan

    options = ConfigChanges(args.data_root, args.cfg_options)
    plan = make_plan(
        args.configs, kinds, seeds, args.out, options,
        backbone=args.backbone, repair=args.repair,
    )  # fmt: skip
    _check_data(plan)
    return plan


def _fit_controls(waiting: list[str], args: argparse.Namespace) -> None:
    from ttr_backbones.app.vit_source import config_source, vit_with_classifier
    from ttr_backbones.compare.control_models import backbone_of_artifact
    from ttr_backbones.compare.options import ConfigChanges
    from ttr_backbones.repairs.controls import split_control

    backbones = {
        text: backbone_of_artifact(
            Path(split_control(text)[0]),
            args.configs,
            ConfigChanges(args.data_root, args.cfg_options),
            backbone=args.backbone,
            repair=args.repair,
        )
        for text in waiting
    }
    device, bar = choose_device(None), ProgressBar()
    try:
        for text, backbone in backbones.items():
            vit = vit_with_classifier(config_source(backbone)).to(device)
            fit_controls([text], vit, args.fit_images, bar)
    finally:
        bar.close()


def _check_data(plan: ComparisonPlan) -> None:
    """Look at the data of every cell that is not finished: before hours of training, not after.

    Raises:
        InputError: all that is missing.
    """
    missing: dict[str, list[str]] = {}
    for cell in plan.cells:
        why = _missing_data(cell)
        if why is not None:
            missing.setdefault(why, []).append(cell.row.experiment)
    if missing:
        reasons = [f"{', '.join(dict.fromkeys(names))}: {why}" for why, names in missing.items()]
        raise InputError(
            "\n  ".join(["nothing was run, because data is missing:", *reasons])
            + "\nGive it, or leave these configs out."
        )


def _missing_data(cell: Cell) -> str | None:
    from ttr_backbones.compare.cells import check_data, finished

    try:
        if finished(cell) is None:
            check_data(cell)
    except MissingFileError as error:
        return str(error)
    except InputError:
        return None  # an old result that cannot be read: an error when its turn comes
    return None


def _kinds(text: str | None) -> list[str] | None:
    from ttr_backbones.compare.repair_names import NONE, TRAINED

    if text is None:
        return None
    kinds = comma_list(text)
    order = {NONE: 0, TRAINED: 2}
    return sorted(kinds, key=lambda kind: order.get(kind, 1))


def _write(
    plan: ComparisonPlan,
    outcomes: dict[str, CellResult],
    failed: dict[str, str],
    out: Path,
    side_effects: SideEffects | None = None,
) -> str:
    """Write all files of the table and return it as text."""
    from ttr_backbones.compare.plot import draw_table
    from ttr_backbones.compare.repairs_table import html_page, repair_tables
    from ttr_backbones.compare.summary import summarize
    from ttr_backbones.compare.table import below, csv_cells, csv_table, markdown_table, text_table

    lines = summarize(plan.cells, outcomes, plan.left_out)
    reasons: dict[str, list[str]] = {}
    for name, reason in failed.items():
        reasons.setdefault(reason, []).append(name)
    notes = plan.notes + [f"{'; '.join(names)}: FAILED: {why}" for why, names in reasons.items()]
    text = text_table(lines, notes, side_effects)
    page = html_page(
        repair_tables(lines, side_effects or {}), below(lines, notes), "Repairs of ViTs, compared"
    )
    files = {
        "table.txt": text,
        "table.md": markdown_table(lines, notes, side_effects),
        "table.html": page,
        "table.csv": csv_table(lines, side_effects),
        "cells.csv": csv_cells(plan.cells, outcomes, failed),
    }
    for name, content in files.items():
        write_atomically(out / name, content.encode())
    if outcomes:
        draw_table(lines, out / "table.png")
    return text
