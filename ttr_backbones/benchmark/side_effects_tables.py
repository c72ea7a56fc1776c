"""Side effects of the repairs on photographs, without timings, so that they are reproducible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ttr_backbones.compare.cells import CellResult
from ttr_backbones.compare.plan import Cell
from ttr_backbones.compare.repairs_table import RepairTable, repair_tables
from ttr_backbones.compare.side_effects import measure_side_effects
from ttr_backbones.compare.summary import summarize
from ttr_backbones.images.batches import Progress

_TIMES = {"run_time_ratio", "fit_minutes"}  # `ttrb bench` and `ttrb compare` measure them


def side_effects(
    cells: Sequence[Cell], outcomes: Mapping[str, CellResult], folder: Path, progress: Progress
) -> tuple[list[RepairTable], list[str]]:
    """Measure all repairs of all backbones side by side.

    Args:
        cells: of the plan.
        outcomes: of them.
        folder: photographs.
        progress: see `measure_side_effects`.

    Returns:
        One table per backbone, and notes on where they are from.
    """
    found, notes = measure_side_effects(cells, folder, progress)
    return list(map(_without_times, repair_tables(summarize(cells, outcomes), found))), notes


def _without_times(table: RepairTable) -> RepairTable:
    kept = [index for index, measure in enumerate(table.costs) if measure.key not in _TIMES]
    return table._replace(
        costs=[table.costs[index] for index in kept],
        rows=[row._replace(costs=[row.costs[index] for index in kept]) for row in table.rows],
    )
