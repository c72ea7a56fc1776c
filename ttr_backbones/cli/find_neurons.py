"""Find a model's register neurons on your photographs: short for `ttrb repair test_time`."""

from __future__ import annotations

import argparse

from ttr_backbones.cli.repair import add_fit_arguments, add_fit_options, fit

_TYPE = "test_time"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb repair test_time`."""
    from ttr_backbones.repairs import repair_named

    parser.description = (
        "Finds the block where outliers appear, the norm that makes one, and the smallest set of "
        "neurons that takes them away when moved to a register; measures it on images held out, "
        "beside random neurons; writes the list and a picture beside it. The same as `ttrb repair "
        "test_time`. Exit code 0: found, 1: no set does it, 2: wrong input, 3: the model has no "
        "outliers (what was seen is said, and nothing is written). Any of the options 'by hand' "
        "switches to one plain search (Algorithm 1 of arXiv 2506.08010) instead. On several GPUs: "
        "torchrun --nproc-per-node N --no-python ttrb find-neurons ... --launcher pytorch."
    )
    add_fit_arguments(parser)
    add_fit_options(parser, repair_named(_TYPE))


def run(args: argparse.Namespace) -> int:
    """Search, write the list and the picture, print the verdict."""
    from ttr_backbones.repairs import repair_named

    return fit(repair_named(_TYPE), args)
