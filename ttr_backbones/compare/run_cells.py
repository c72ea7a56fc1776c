"""Running the cells of a plan one after the other; one that fails does not cost the others."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from ttr_backbones.app.failure import original_message
from ttr_backbones.app.progress import StatusLine
from ttr_backbones.compare.cells import CellResult, finished, run_cell
from ttr_backbones.compare.plan import Cell
from ttr_backbones.errors import InputError

_DETAILS = "error.txt"


class CellProgress:
    """A line on stderr for each cell; while the cell runs it says how far it is."""

    def __init__(self, cells: int) -> None:
        self._cells, self._number = cells, 0
        self._head, self._line = "", StatusLine()

    def start(self, name: str) -> None:
        """Begin the next cell."""
        self._number += 1
        self._head = f"[{self._number:{len(str(self._cells))}}/{self._cells}] {name}: "
        self.update("")

    def update(self, state: str) -> None:
        """Show how far the cell is."""
        self._line.show(self._head + state)

    def end(self, result: str) -> None:
        """Print what became of the cell."""
        self._line.keep(self._head + result)


@dataclass
class CellsRun:
    """What became of cells, by their names.

    Args:
        outcomes: what was measured.
        failed: why there is no outcome.
        stopped: what ended it before the last cell, if something did.
    """

    outcomes: dict[str, CellResult] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: KeyboardInterrupt | None = None


def run_cells(cells: Sequence[Cell]) -> CellsRun:
    """Run or reuse cells; one that fails costs no other, and an interrupt ends it."""
    ran, progress = CellsRun(), CellProgress(len(cells))
    # A Runner's garbage is collected after every run. It need not look at all modules each time.
    gc.collect()  # what is garbage by now would stay until the last cell
    gc.freeze()
    try:
        for cell in cells:
            _run_or_reuse(cell, progress, ran)
    except KeyboardInterrupt as stop:
        progress.end("interrupted")
        ran.stopped = stop
    finally:
        gc.unfreeze()
    return ran


def _run_or_reuse(cell: Cell, progress: CellProgress, ran: CellsRun) -> None:
    progress.start(cell.name)
    try:
        outcome = finished(cell) or run_cell(cell, progress.update)
    except InputError as error:
        ran.failed[cell.name] = original_message(error)
    except Exception as error:  # noqa: BLE001 -- one cell out of memory must not cost the others
        cell.folder.mkdir(parents=True, exist_ok=True)
        (cell.folder / _DETAILS).write_text(traceback.format_exc(), encoding="utf-8")
        text = " ".join(f"{type(error).__name__}: {error}".split())
        ran.failed[cell.name] = f"{text} ({cell.folder / _DETAILS})"
    else:
        ran.outcomes[cell.name] = outcome
        (cell.folder / _DETAILS).unlink(missing_ok=True)
        how = ", ".join(part for part in (f"{outcome.seconds:.0f} s", outcome.how) if part)
        metric = cell.row.metric
        progress.end(f"{metric.name} {metric.shown(outcome.value)} {metric.unit} ({how})")
        return
    progress.end(f"FAILED: {ran.failed[cell.name]}")
