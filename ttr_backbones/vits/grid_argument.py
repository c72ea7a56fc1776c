"""What a block is given of the grid of its patches."""

from __future__ import annotations

from typing import Any

from ttr_backbones.vits.tokens import Grid


class GridBlock:
    """A block whose `forward` takes `grid=(h, w)`."""


def grid_argument(block: Any, grid: Grid) -> dict[str, Grid]:
    """Return the keyword arguments of a block that needs the grid; none for others."""
    return {"grid": grid} if isinstance(block, GridBlock) else {}
