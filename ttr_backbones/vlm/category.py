"""Prompts that ask for things by the names of their categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

CATEGORY = "{category}"

Boxes = TypeVar("Boxes")


def category_prompts(prompt: str, boxes: Mapping[str, Boxes]) -> Iterator[tuple[str, str, Boxes]]:
    """Ask for every category of an image, in order of their names.

    Args:
        prompt: with `{category}` where the name goes.
        boxes: name of each category -> its boxes.

    Yields:
        Name, prompt and boxes.
    """
    for noun in sorted(boxes):
        yield noun, prompt.replace(CATEGORY, noun), boxes[noun]
