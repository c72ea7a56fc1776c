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
    from ttr_backbones.recipes import AXES, axis_files, data_files, method_files, summary

    lists = {str(axis): axis_files(axis) for axis in AXES}
    lists["methods, whose protocols are <method>_<data set>"] = method_files()
    lists["data sets of the methods"] = data_files()
    for heading, files in lists.items():
        print(f"{heading}:")
        for line in aligned([(name, summary(path)) for name, path in files.items()], "ll"):
            print(f"  {line}")
    print("a recipe: <backbone>[_<repair>]_<protocol>; ttrb configs PATTERN lists recipes")


def _print_recipes(pattern: str) -> None:
    from ttr_backbones.recipes import all_names, axis_files, protocol_files, summary

    wildcards = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    found = [name for name in all_names(methods=True) if fnmatch.fnmatchcase(str(name), wildcards)]
    if not found:
        raise InputError(f"no recipe's name matches {pattern!r}; ttrb configs lists their parts")
    rows = []
    for name in found:
        paths = [axis_files("backbones")[name.backbone]]
        paths += [axis_files("repairs")[name.repair]] if name.repair else []
        paths += [path for path in protocol_files()[name.protocol] if path]
        rows.append((str(name), "; ".join(map(summary, paths))))
    print("\n".join(aligned(rows, "ll")))
