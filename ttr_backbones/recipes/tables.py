"""Write the tables of published numbers into configs/README.md.

Usage: python -m ttr_backbones.recipes.tables
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError
from ttr_backbones.packaged import configs_dir
from ttr_backbones.recipes.names import RecipeName
from ttr_backbones.recipes.published import PublishedNumber, published_numbers
from ttr_backbones.tasks import TASKS, Task

BEGIN, END = "<!-- tables: python -m ttr_backbones.recipes.tables -->", "<!-- end of tables -->"
_NONE = "·"
# How a source begins -> its mark, and what it is.
SOURCES = {
    "TTR paper": ("TTR", "Vision Transformers Don't Need Trained Registers, arXiv 2506.08010"),
    "DINOv2 README": ("D2R", "README of DINOv2"),
    "DINOv2 paper": ("D2", "DINOv2, arXiv 2304.07193"),
    "Denoising-ViT README": ("DVT", "README of Denoising-ViT"),
    "PH-Reg paper": ("PH", "PH-Reg paper"),
    "SINDER paper": ("SIN", "SINDER paper"),
    '"Vision Transformers Need Registers" paper': (
        "REG",
        "Vision Transformers Need Registers, arXiv 2309.16588 (weights of its own)",
    ),
    "LOST paper": ("LOST", "LOST, arXiv 2109.14279"),
}


def tables() -> str:
    """Return one Markdown table per task, of every recipe that has a number, and the sources.

    Raises:
        InputError: a source has no mark yet.
    """
    rows = published_numbers()
    headings = {task.metric.name: _heading(task) for task in TASKS.values()}
    parts = [
        f"### {heading}\n\n{_table(of_metric)}"
        for metric, heading in headings.items()
        if (of_metric := [row for row in rows if row.metric == metric])
    ]
    used = {_mark(row.source) for row in rows}
    sources = [f"[{mark}] {what}.  " for mark, what in SOURCES.values() if mark in used]
    return "\n\n".join([*parts, "\n".join(sources)])


def write_tables() -> None:
    """Put `tables()` between the marks in configs/README.md.

    Raises:
        InputError: the marks are not there.
    """
    path = configs_dir() / "README.md"
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"{path}: expected one line {BEGIN!r} and one {END!r}")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    write_atomically(path, f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}".encode())


def _heading(task: Task[Any]) -> str:
    metric = task.metric
    direction = "" if metric.higher_is_better else " (lower is better)"
    return f"{task.name.capitalize()}, {metric.name} in {metric.unit_name}{direction}"


def _table(rows: Sequence[PublishedNumber]) -> str:
    protocols = sorted({row.protocol for row in rows})
    models = sorted({_model(row) for row in rows})
    cells = {
        (model, protocol): "<br>".join(
            _shown(row) for row in rows if (_model(row), row.protocol) == (model, protocol)
        )
        for model in models
        for protocol in protocols
    }
    lines = [["", *(f"`{protocol}`" for protocol in protocols)], ["---"] * (len(protocols) + 1)]
    lines += [
        [f"`{model}`", *(cells[model, protocol] or _NONE for protocol in protocols)]
        for model in models
    ]
    return "\n".join(map(_line, lines))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _model(row: PublishedNumber) -> str:
    """Return the first part of the recipe's name."""
    return str(RecipeName(row.backbone, row.repair or None, ""))


def _shown(row: PublishedNumber) -> str:
    std = f" ± {row.std}" if row.std else ""
    # Of a protocol with one number for every token: which of them.
    token = f" {row.note}" if row.note.startswith("token=") else ""
    return f"{row.value}{std} [{_mark(row.source)}]{token}"


def _mark(source: str) -> str:
    for begin, (mark, _) in SOURCES.items():
        if source.startswith(begin):
            return mark
    raise InputError(f"{__name__}: no mark for the source {source!r}; give it one in SOURCES")


if __name__ == "__main__":
    write_tables()
