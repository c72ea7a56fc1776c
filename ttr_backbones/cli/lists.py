"""Show the lists of register neurons that ship, where they come from and what is doubtful."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from ttr_backbones.package_data import ARTIFACTS, NEURON_LISTS
from ttr_backbones.text_table import aligned

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
    # Their JSON as it is: what checks it imports torch, which takes seconds.
    lists = {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(NEURON_LISTS.glob("*.json"))
    }
    artifacts = sorted(ARTIFACTS.glob("*/*.safetensors"))
    heading, *lines = aligned([_HEADINGS, *(_cells(*item) for item in lists.items())], "lrlr")
    print(heading)
    for (model, neurons), line in zip(lists.items(), lines, strict=True):
        print(line)
        for key in ("source", "doubt"):
            if key in neurons:
                text = textwrap.wrap(f"{key}: {neurons[key]}", _WIDTH - 2)
                print(textwrap.indent("\n".join(text), "  "))
        for file in artifacts:
            if file.stem == model:
                print(f"  repair=dict(type={file.parent.name!r}, artifact='auto') ships too")
    return 0


def _cells(model: str, neurons: dict[str, Any]) -> list[str]:
    layers = neurons["layers"]
    size = neurons.get("input_size")
    found_at = f"{size} px" if size else "?"
    number = sum(map(len, layers.values()))
    return [model, str(number), _span(sorted(map(int, layers))), found_at]


def _span(blocks: list[int]) -> str:
    return str(blocks[0]) if len(blocks) == 1 else f"{blocks[0]}..{blocks[-1]}"
