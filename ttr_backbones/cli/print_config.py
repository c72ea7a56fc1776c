"""Print the full config of a recipe or file, as a run dumps it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ttr_backbones.atomic import write_atomically
from ttr_backbones.cli.arguments import add_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, what changes it, and where it goes."""
    parser.description = (
        "Prints everything that a name stands for, in one file without bases, which plain mmengine "
        "or mmseg can run too, and which may be the base of a config of your own: _base_ = "
        "'mine.py'."
    )
    parser.add_argument("config", help="name of a recipe (ttrb configs lists them), or a file")
    parser.add_argument("--out", type=Path, metavar="FILE.py", help="write it there instead")
    add_overrides(parser)
    parser.set_defaults(work_dir=None, launcher="none")


def run(args: argparse.Namespace) -> int:
    """Print or write."""
    from ttr_backbones.app.config import load_config

    cfg = load_config(args)
    # The command of a run decides these two.
    for key in ("work_dir", "launcher"):
        cfg.pop(key)
    if args.out is None:
        print(cfg.pretty_text, end="")
        return 0
    write_atomically(args.out, cfg.pretty_text.encode())
    print(f"{args.out}: ttrb train {args.out}, or as a base: _base_ = {args.out.name!r}")
    return 0
