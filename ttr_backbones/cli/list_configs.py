"""List backbones, repairs and protocols; with a pattern, the recipes that it matches."""

from __future__ import annotations

import argparse
import fnmatch

from ttr_backbones.errors import InputError
from ttr_backbones.text_table import aligned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the pattern."""
    parser.description = (
        "A recipe is called <backbone>[_<repair>]_<protocol>, and every combination is one: "
        "dinov2_vitl14_ttr_linear_ade20k. Any tagged name of a timm Vision Transformer is a "
        "backbone too. Without a pattern the three lists are shown; with one, as in "
        "'*vitl14*_ade20k' or ttr_lost, the recipes whose name it matches or is part of."
    )
    parser.add_argument(
        "pattern", nargs="?", metavar="PATTERN", help="wildcards, or part of a name"
    )


def run(args: argparse.Namespace) -> int:
    """Print one line per name."""
    if args.pattern is None:
        _print_axes()
    else:
        _print_recipes(args.pattern)
    return 0


def _print_axes() -> None:
    from ttr_backbones.recipes import AXES, axis_files, summary

    for axis in AXES:
        files = axis_files(axis)
        print(f"{axis}:")
        for line in aligned([(name, summary(path)) for name, path in files.items()], "ll"):
            print(f"  {line}")
    print("a recipe: <backbone>[_<repair>]_<protocol>; ttrb configs PATTERN lists recipes")


def _print_recipes(pattern: str) -> None:
    from ttr_backbones.recipes import AXES, all_names, axis_files, summary

    wildcards = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    found = [name for name in all_names() if fnmatch.fnmatchcase(str(name), wildcards)]
    if not found:
        raise InputError(f"no recipe's name matches {pattern!r}; ttrb configs lists their parts")
    rows = []
    for name in found:
        parts = zip(AXES, (name.backbone, name.repair, name.protocol), strict=True)
        summaries = [summary(axis_files(axis)[part]) for axis, part in parts if part]
        rows.append((str(name), "; ".join(summaries)))
    print("\n".join(aligned(rows, "ll")))
