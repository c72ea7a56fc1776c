"""Run everything that fits the data that is there, and write one page of numbers with intervals."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.atomic import check_writable, write_atomically
from ttr_backbones.cli.arguments import integer_list
from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from ttr_backbones.benchmark.plan import BenchmarkPlan, BenchmarkRequest
    from ttr_backbones.benchmark.report import Report
    from ttr_backbones.compare.cells import CellResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the backbones, the data, the repairs and the suite."""
    parser.description = (
        "Runs every protocol that fits the data sets in a folder, for every backbone, repair and "
        "seed, and writes one page (benchmark.html, .md, .json): numbers with intervals over "
        "images, paired differences between repairs, the papers' numbers beside them, the hashes "
        "of all files, what was left out and why. What is finished is reused and what was killed "
        "goes on: repeat the command. Exit code 0: all ran; 1: something failed, the page says "
        "what."
    )
    parser.add_argument(
        "backbones", nargs="+", metavar="BACKBONE[=FILE]",
        help="a name of configs/backbones or any timm name; its weights from FILE, else the hub's",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR",
        help="folder of the data sets in their official layouts, in place of data/",
    )  # fmt: skip
    parser.add_argument(
        "--repairs", default="none,test_time,bias", metavar="KIND,...",
        help="as for ttrb compare: types, names of configs, files",
    )  # fmt: skip
    parser.add_argument(
        "--suite", default="short", choices=("short", "full"),
        help="short: protocols that train nothing and trainings of 50 iterations; full: trainings "
        "as published",
    )  # fmt: skip
    parser.add_argument(
        "--protocols", metavar="NAME,...", help="these of configs/protocols in place of a suite"
    )
    parser.add_argument(
        "--iterations", type=int, metavar="N", help="of every training, in place of the suite's"
    )
    parser.add_argument("--seeds", default="0,1", help="of the trainings (0,1)")
    parser.add_argument(
        "--images", type=Path, metavar="DIR",
        help="photographs on which to measure what the repairs do to the model besides",
    )  # fmt: skip
    parser.add_argument(
        "--fit-images", type=Path, metavar="DIR",
        help="photographs on which to fit the repairs of --repairs that do not ship for a backbone",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=2000, help="drawn data sets behind the intervals"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/benchmark"), metavar="DIR",
        help="folder of the page and all runs (work_dirs/benchmark)",
    )  # fmt: skip
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="[FOR:]KEY=VALUE",
        help="override values of the configs, as in ttrb compare",
    )  # fmt: skip
    parser.usage = "ttrb benchmark BACKBONE[=FILE] ... --data DIR [options]"


def run(args: argparse.Namespace) -> int:
    """Plan, run, write the page."""
    from ttr_backbones.benchmark.fit import fit_missing
    from ttr_backbones.benchmark.left_out import left_out_lines
    from ttr_backbones.benchmark.plan import BenchmarkRequest, check_request, plan_benchmark
    from ttr_backbones.benchmark.suite import choose_suite
    from ttr_backbones.cli.exit_codes import exit_code_of
    from ttr_backbones.compare.run_cells import run_cells
    from ttr_backbones.images.photos import photo_files

    if args.rounds < 100:
        raise InputError(f"--rounds {args.rounds}: expected at least 100, for ends of 2.5 percent")
    if args.iterations is not None and args.iterations < 1:
        raise InputError(f"--iterations {args.iterations}: expected at least 1")
    protocols = comma_list(args.protocols) if args.protocols else None
    suite = choose_suite(args.suite, protocols, args.iterations)
    for folder in filter(None, (args.images, args.fit_images)):
        photo_files(folder)
    seeds = integer_list("--seeds", args.seeds, least=0)
    backbones, kinds = _backbones(args.backbones), _kinds(args.repairs)
    request = BenchmarkRequest(
        backbones, args.data, kinds, seeds, suite, args.out, args.cfg_options
    )
    check_request(request)
    check_writable(args.out)
    if args.fit_images is not None:
        fitted = fit_missing(request.experiments, kinds, args.fit_images, args.out / "repairs")
        request = dataclasses.replace(
            request, kinds=fitted.kinds, fitted=fitted.files, not_fitted=fitted.left_out
        )
    plan = plan_benchmark(request)
    for line in left_out_lines(plan, request):
        print(line, file=sys.stderr)
    ran = run_cells(plan.cells)
    if ran.stopped is not None:
        print(
            f"ttrb: interrupted; {len(ran.outcomes)} of {len(plan.cells)} cells are done. The same "
            "command goes on from here.",
            file=sys.stderr,
        )
        return exit_code_of(ran.stopped)
    report = _report(plan, request, ran.outcomes, ran.failed, args)
    _write(report, args.out)
    return int(bool(ran.failed))


def _backbones(texts: list[str]) -> dict[str, Path | None]:
    pairs = [text.partition("=") for text in texts]
    return {name: Path(file).expanduser() if equals else None for name, equals, file in pairs}


def _kinds(text: str) -> list[str]:
    """None goes first: the others are compared with it."""
    from ttr_backbones.compare.repair_names import NONE
    from ttr_backbones.repairs.from_config import DEFAULT, IN_RECIPES

    named = (DEFAULT if kind == IN_RECIPES else kind for kind in comma_list(text))
    return list(dict.fromkeys([NONE, *named]))


def _report(
    plan: BenchmarkPlan,
    request: BenchmarkRequest,
    outcomes: Mapping[str, CellResult],
    failed: Mapping[str, str],
    args: argparse.Namespace,
) -> Report:
    from ttr_backbones.benchmark.report import CellsRan, make_report
    from ttr_backbones.benchmark.side_effects_tables import side_effects
    from ttr_backbones.benchmark.statistics import results

    lines = results(plan, outcomes, args.rounds)
    ran = CellsRan(lines, failed, sum(outcome.seconds for outcome in outcomes.values()))
    if args.images is not None:
        bar = ProgressBar()
        try:
            ran.effects, ran.notes = side_effects(plan.cells, outcomes, args.images, bar)
        finally:
            bar.close()
    return make_report(plan, request, ran, args.rounds, shlex.join(["ttrb", *sys.argv[1:]]))


def _write(report: Report, out: Path) -> None:
    """Write the page and the hashes of all files, and print what the page begins with."""
    from ttr_backbones.benchmark.markdown import markdown_page
    from ttr_backbones.benchmark.page import html_page
    from ttr_backbones.benchmark.words import results_text, shown, summary

    files = io.StringIO(newline="")
    writer = csv.writer(files, lineterminator="\n")
    writer.writerow(("file", "sha256"))
    writer.writerows(sorted({pair for facts in report.data for pair in facts.files}))
    contents = {
        "benchmark.html": html_page(report),
        "benchmark.md": markdown_page(report),
        "benchmark.json": json.dumps(report.record(), indent=1, default=str) + "\n",
        "files.csv": files.getvalue(),
    }
    for name, content in contents.items():
        write_atomically(out / name, content.encode())
    print("\n".join([*results_text(report), "", *summary(report), *shown(report), ""]))
    print(", ".join(str(out / name) for name in contents))
