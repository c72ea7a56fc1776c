"""From the numbers of single runs to mean and standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ttr_backbones.compare.cells import CellResult
from ttr_backbones.compare.plan import Cell, TableRow

NOTHING = "-"


@dataclass(frozen=True)
class Line:
    """One line of the table with what was measured.

    Args:
        row: what it is about.
        values: of the runs that ended well.
        planned: number of runs that there should be.
        seeded: False if nothing is trained, so that one run says it all.
    """

    row: TableRow
    values: tuple[float, ...]
    planned: int
    seeded: bool

    @property
    def mean(self) -> float | None:
        """Mean over the seeds."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the seeds (divided by n - 1); None for a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def measured(self) -> str:
        """Mean ± standard deviation."""
        return NOTHING if self.mean is None else self.row.metric.shown(self.mean, self.std)

    @property
    def runs(self) -> str:
        """Number of seeds, and of how many if some are missing."""
        if not self.planned:
            return NOTHING
        if len(self.values) < self.planned:
            return f"{len(self.values)} of {self.planned}"
        return str(self.planned) if self.seeded else "no seed"

    @property
    def published(self) -> str:
        """The paper's number."""
        return self.row.published.shown if self.row.published else NOTHING


def summarize(
    cells: Sequence[Cell], outcomes: Mapping[str, CellResult], left_out: Sequence[TableRow] = ()
) -> list[Line]:
    """Gather the cells of each line, lines of one task together, in the order of the plan.

    Args:
        cells: all of the plan.
        outcomes: name of a cell -> what was measured; cells that failed or did not run are absent.
        left_out: rows without a run, behind the others of their task.
    """
    rows = list(dict.fromkeys([*(cell.row for cell in cells), *left_out]))
    tasks = list(dict.fromkeys(row.task for row in rows))
    lines = []
    for row in sorted(rows, key=lambda row: tasks.index(row.task)):
        of_row = [cell for cell in cells if cell.row == row]
        values = tuple(outcomes[cell.name].value for cell in of_row if cell.name in outcomes)
        seeded = any(cell.seed is not None for cell in of_row)
        lines.append(Line(row, values, len(of_row), seeded))
    return lines
