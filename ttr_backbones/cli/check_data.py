"""Open and check every file of a config's data sets."""

from __future__ import annotations

import argparse
from pathlib import Path

from ttr_backbones.atomic import write_atomically
from ttr_backbones.cli.arguments import add_overrides

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, what changes it, and `--out`."""
    parser.add_argument("config", help="config file, or the name of a packaged config")
    add_overrides(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.txt", help="save all problems")
    parser.set_defaults(work_dir=None, launcher="none")


def run(args: argparse.Namespace) -> int:
    """Check all data sets, print what is wrong, and return 1 if anything is."""
    from ttr_backbones.app.config import load_config
    from ttr_backbones.app.data_check import check, distinct_datasets

    cfg = load_config(args)
    lines = []
    for loaders, dataset in distinct_datasets(cfg):
        found = check(cfg, loaders, dataset)
        kind, problems = found.kind, found.problems
        published = f" -- NOTE: {found.unlike_published}" if found.unlike_published else ""
        print(f"{loaders}: {kind}: {found.samples} samples, {len(problems)} problem(s){published}")
        if found.note:
            print(f"  NOTE: {found.note}")
        for problem in problems[:_SHOWN]:
            print(f"  {problem}")
        if len(problems) > _SHOWN:
            rest = "" if args.out else "; --out FILE.txt saves all of them"
            print(f"  ... and {len(problems) - _SHOWN} more{rest}")
        lines += [f"{loaders}: {kind}: {problem}\n" for problem in problems]
    if args.out:
        write_atomically(args.out, "".join(lines).encode())
    return int(bool(lines))
