"""Write the tables of published numbers into configs/README.md.

Usage: python -m ttr_backbones.recipes.tables
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from ttr_backbones.errors import InputError
from ttr_backbones.package_data import configs_dir
from ttr_backbones.recipes.axes import protocol_named
from ttr_backbones.recipes.evaluate import evaluate
from ttr_backbones.recipes.names import RecipeName
from ttr_backbones.recipes.published import PublishedNumber, published_numbers
from ttr_backbones.tasks import TASKS, Task, find_task
from ttr_backbones.text_table import replace_between

BEGIN, END = "<!-- tables: python -m ttr_backbones.recipes.tables -->", "<!-- end of tables -->"
_NONE = "·"
# How a source begins -> its mark, and what it is.
SOURCES = {
    "TTR paper": ("TTR", "Vision Transformers Don't Need Trained Registers, arXiv 2506.08010"),
    "DINOv3 model card": ("D3", "Model card of DINOv3"),
    "DINOv3 paper": ("D3P", "DINOv3, arXiv 2508.10104"),
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
    "SCLIP README": ("SCLIP", "README of SCLIP, arXiv 2312.01597"),
    "NACLIP README": ("NACLIP", "README of NACLIP, arXiv 2404.08181"),
}


def tables() -> str:
    """Return one Markdown table per task, of every recipe that has a number, and the sources.

    Raises:
        InputError: a source has no mark yet.
    """
    rows = published_numbers()
    parts = [
        f"### {_heading(task)}\n\n{_table(of_task)}"
        for task in TASKS.values()
        if (of_task := [row for row in rows if _is_of(row, task)])
    ]
    used = {_mark(row.source) for row in rows}
    sources = [f"[{mark}] {what}.  " for mark, what in SOURCES.values() if mark in used]
    return "\n\n".join([*parts, "\n".join(sources)])


def write_tables() -> None:
    """Put `tables()` between the marks in configs/README.md.

    Raises:
        InputError: the marks are not there.
    """
    replace_between(configs_dir() / "README.md", BEGIN, END, tables())


def _is_of(row: PublishedNumber, task: Task[Any]) -> bool:
    """Whether a row is in the table of a task; several tasks may have a metric of one name."""
    tasks = [other for other in TASKS.values() if other.metric.name == row.metric]
    return bool(tasks) and task is (tasks[0] if len(tasks) == 1 else _task(row.protocol))


@functools.cache
def _task(protocol: str) -> Task[Any] | None:
    path, data = protocol_named(protocol)
    return find_task(evaluate(path, data=data).values)


def _heading(task: Task[Any]) -> str:
    metric = task.metric
    direction = "" if metric.higher_is_better else " (lower is better)"
    name = task.name if task.name[1].isupper() else task.name.capitalize()  # kNN stays kNN
    return f"{name}, {metric.name} in {metric.unit_name}{direction}"


def _table(rows: Sequence[PublishedNumber]) -> str:
    protocols = sorted({row.protocol for row in rows})
    models = sorted({_model(row) for row in rows})
    cells: dict[tuple[str, str], str] = {
        (model, protocol): "<br>".join(
            _shown(row) for row in rows if (_model(row), row.protocol) == (model, protocol)
        )
        for model in models
        for protocol in protocols
    }
    if len(protocols) > 2 * len(models):  # a row each, or the table would be too wide to read
        cells = {(protocol, model): shown for (model, protocol), shown in cells.items()}
        models, protocols = protocols, models
    lines = [["", *(f"`{column}`" for column in protocols)], ["---"] * (len(protocols) + 1)]
    lines += [
        [f"`{row}`", *(cells[row, column] or _NONE for column in protocols)] for row in models
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
