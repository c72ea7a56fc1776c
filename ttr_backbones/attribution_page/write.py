"""A comparison written to a folder: numbers, the page, and a picture for a paper."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ttr_backbones.atomic import write_atomically
from ttr_backbones.attribution_page.comparison import Comparison
from ttr_backbones.attribution_page.figure import draw_overview
from ttr_backbones.attribution_page.page import write_page


def write_all(
    out: str | Path,
    comparison: Comparison,
    found: dict[str, Any],
    *,
    on_written: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write `numbers.json`, `overview.png` and `attribution.html`.

    Args:
        out: folder; it is made.
        comparison: of `compare`.
        found: of `numbers`.
        on_written: called with each file when it is there.
    """
    out = Path(out)
    write_atomically(out / "numbers.json", f"{json.dumps(found, indent=1)}\n".encode())
    on_written(out / "numbers.json")
    draw_overview(out / "overview.png", comparison)
    on_written(out / "overview.png")
    write_page(out / "attribution.html", comparison, found)
    on_written(out / "attribution.html")
