"""Show the lists of register neurons that ship, where they come from and what is doubtful."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from ttr_backbones.text_table import aligned

if TYPE_CHECKING:
    from ttr_backbones.registers import RegisterNeurons

_WIDTH = 100
_HEADINGS = ("model", "neurons", "blocks", "found at")


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
    from ttr_backbones.repairs.choice import repair_text
    from ttr_backbones.vits.neurons import LISTS

    lists = [registers.RegisterNeurons.load(file) for file in sorted(LISTS.glob("*.json"))]
    heading, *lines = aligned([_HEADINGS, *map(_cells, lists)], "lrlr")
    print(heading)
    for neurons, line in zip(lists, lines, strict=True):
        print(line)
        for key in ("source", "doubt"):
            if key in neurons.provenance:
                text = textwrap.wrap(f"{key}: {neurons.provenance[key]}", _WIDTH - 2)
                print(textwrap.indent("\n".join(text), "  "))
        for repair in REPAIRS.values():
            if neurons.model in repair.shipped_files():
                print(f"  {repair_text(repair.auto())} ships too")
    return 0


def _cells(neurons: RegisterNeurons) -> list[str]:
    size = neurons.provenance.get("input_size")
    found_at = f"{size} px" if size else "?"
    return [neurons.model, str(len(neurons)), _span(list(neurons.layers)), found_at]


def _span(blocks: list[int]) -> str:
    return str(blocks[0]) if len(blocks) == 1 else f"{blocks[0]}..{blocks[-1]}"
