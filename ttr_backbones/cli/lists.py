"""Show the lists of register neurons that ship, where they come from and what is doubtful."""

from __future__ import annotations

import argparse
import textwrap

_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb lists`: none."""
    parser.description = (
        "The lists that neurons='auto' finds by the model's tagged name. One with doubts is "
        "better replaced by your own: ttrb find-neurons. Constants for type='bias' are made by "
        "ttrb repair bias."
    )


def run(args: argparse.Namespace) -> int:
    """Print one entry per list."""
    del args
    from ttr_backbones import registers
    from ttr_backbones.repairs import REPAIRS
    from ttr_backbones.repairs.choice import in_words
    from ttr_backbones.vits.neurons import LISTS

    print(f"{'model':48}{'neurons':>8}  {'blocks':8}{'found at':>9}")
    for file in sorted(LISTS.glob("*.json")):
        neurons = registers.RegisterNeurons.load(file)
        told = neurons.provenance
        size = f"{told['input_size']} px" if told.get("input_size") else "?"
        print(f"{neurons.model:48}{len(neurons):>8}  {_span(list(neurons.layers)):8}{size:>9}")
        for key in ("source", "doubt"):
            if key in told:
                text = textwrap.wrap(f"{key}: {told[key]}", _WIDTH - 2)
                print(textwrap.indent("\n".join(text), "  "))
        for repair in REPAIRS.values():
            if neurons.model in repair.shipped_files():
                print(f"  {in_words(repair.auto())} ships too")
    return 0


def _span(blocks: list[int]) -> str:
    return str(blocks[0]) if len(blocks) == 1 else f"{blocks[0]}..{blocks[-1]}"
