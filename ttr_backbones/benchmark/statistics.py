"""From the parts of single images to intervals, paired differences and what they are worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.benchmark.plan import BenchmarkPlan
from ttr_backbones.compare.cells import CellResult
from ttr_backbones.compare.plan import Cell, TableRow
from ttr_backbones.compare.repair_names import NONE
from ttr_backbones.compare.stored_image_parts import StoredImageParts, read_parts
from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.bootstrap import Interval, bootstrap_scores, percentile_interval
from ttr_backbones.evaluation.image_parts import ClassCounts, ImageParts
from ttr_backbones.tasks import task_of

BOOTSTRAP_SEED = 0
NOT_COMPARABLE = "not comparable"
# Five images that all agree do so by chance in 1 of 16 cases (sign test, two-sided), more than the
# 5 percent that an interval promises; six in 1 of 32.
LEAST_IMAGES = 6


@dataclass(frozen=True)
class PairedDifference:
    """One line of the table beside the same model without a repair.

    Args:
        value: the line minus the one without a repair, mean over the seeds.
        interval: of the same drawn images for either; None of fewer than `LEAST_IMAGES`.
        images: number of images.
    """

    value: float
    interval: Interval | None
    images: int

    @property
    def is_shown(self) -> bool:
        """Whether the whole interval lies on the value's side of zero."""
        if self.interval is None:
            return False
        return self.interval.low > 0 < self.value or self.interval.high < 0 > self.value

    @property
    def images_needed(self) -> int | None:
        """How many images would show a difference of this size.

        Intervals shrink with the square root of the number of images. None if the difference is
        zero or has no interval.
        """
        if self.value == 0 or self.interval is None:
            return None
        end = self.interval.low if self.value > 0 else self.interval.high
        return math.ceil(self.images * ((self.value - end) / self.value) ** 2)


@dataclass(frozen=True)
class RowResult:
    """One line of the table.

    Args:
        row: what it is about.
        values: seed (None where nothing is trained) -> what was measured.
        planned: number of runs that there should be.
        images: number of images of the test; None if nothing was kept of them.
        interval: of the mean over the seeds, for other images; None likewise, and of fewer than
            `LEAST_IMAGES`.
        difference: to no repair; None for that line, and where one of the two has no images.
        judgement: of the published number beside ours, "" where there is none.
        classes: that the images hold, of a metric that is a mean over classes; of the first run.
        of_present: mean over the classes in the truth alone, and over the seeds; None likewise.
    """

    row: TableRow
    values: Mapping[int | None, float]
    planned: int
    images: int | None
    interval: Interval | None
    difference: PairedDifference | None
    judgement: str
    classes: ClassCounts | None = None
    of_present: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over the seeds."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the seeds; None for a single run."""
        values = list(self.values.values())
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def verdict(self) -> str:
        """Say "better", "worse", "not shown" or "too few images"; "" without a difference."""
        if self.difference is None:
            return ""
        if self.difference.interval is None:
            return "too few images"
        if not self.difference.is_shown:
            return "not shown"
        better = (self.difference.value > 0) == self.row.metric.higher_is_better
        return "better" if better else "worse"


@dataclass(frozen=True)
class _Drawn:
    """A line's scores on drawn images, by seed: [rounds] each."""

    scores: Mapping[int | None, NDArray[np.float64]]
    whole: Mapping[int | None, float]  # the score of all images, not rounded as a metric's may be
    images: list[str]
    classes: Mapping[int | None, ClassCounts | None]

    def mean(self, seeds: Sequence[int | None]) -> NDArray[np.float64]:
        return np.asarray(np.mean([self.scores[seed] for seed in seeds], axis=0))


_Values = Mapping[int | None, float]


def results(
    plan: BenchmarkPlan, outcomes: Mapping[str, CellResult], rounds: int
) -> list[RowResult]:
    """Put all cells of each line together, lines of one task of one backbone behind each other.

    Args:
        plan: all cells.
        outcomes: name of a cell -> what was measured; cells that failed are absent.
        rounds: data sets that the bootstrap draws.

    Raises:
        InputError: runs of one task were of different images.
    """
    lines: dict[TableRow, list[Cell]] = {}
    for cell in plan.cells:
        lines.setdefault(cell.row, []).append(cell)
    drawn = {row: _drawn(cells, outcomes, rounds) for row, cells in lines.items()}
    rows = [*lines, *plan.rows_left_out]
    order = list(dict.fromkeys(row.experiment for row in rows))
    rows.sort(key=lambda row: order.index(row.experiment))
    plain = {row.experiment: row for row in lines if row.repair == NONE}
    return [
        _result(row, plan, lines.get(row, []), outcomes, drawn, plain.get(row.experiment))
        for row in rows
    ]


def _drawn(cells: Sequence[Cell], outcomes: Mapping[str, CellResult], rounds: int) -> _Drawn | None:
    kept: dict[int | None, StoredImageParts] = {}
    for cell in cells:
        if cell.name in outcomes:
            of_images = read_parts(cell.folder, task_of(cell.cfg))
            if of_images is None:
                return None
            kept[cell.seed] = of_images
    parts = task_of(cells[0].cfg).image_parts
    if not kept or parts is None:
        return None
    return _bootstrapped(kept, parts, rounds, cells[0].row.experiment)


def _bootstrapped(
    kept: Mapping[int | None, StoredImageParts], parts: ImageParts, rounds: int, name: str
) -> _Drawn:
    names = next(iter(kept.values())).names
    if any(of_images.names != names for of_images in kept.values()):
        raise InputError(f"{name}: its runs were of different images: delete them, and run again")
    stacked = np.stack([of_images.parts for of_images in kept.values()])
    scores = bootstrap_scores(stacked, parts, rounds, BOOTSTRAP_SEED)
    sums = stacked.sum(axis=1)
    of_runs = (scores, parts.score(sums).tolist(), map(parts.classes, sums))
    by_seed, whole, classes = (dict(zip(kept, each, strict=True)) for each in of_runs)
    return _Drawn(by_seed, whole, names, classes)


def _result(
    row: TableRow,
    plan: BenchmarkPlan,
    cells: Sequence[Cell],
    outcomes: Mapping[str, CellResult],
    drawn: Mapping[TableRow, _Drawn | None],
    plain: TableRow | None,
) -> RowResult:
    of_line = drawn.get(row)
    values: _Values = (
        {cell.seed: outcomes[cell.name].value for cell in cells if cell.name in outcomes}
        if of_line is None
        else of_line.whole
    )
    interval = None if of_line is None else _interval(of_line.mean(list(values)), of_line)
    images = None if of_line is None else len(of_line.images)
    difference = None
    if plain is not None and plain != row:
        difference = _difference(of_line, drawn.get(plain))
    mean = statistics.fmean(values.values()) if values else None
    changes = plan.changes.get(plan.protocols.get(row.experiment, ""), "")
    judgement = _judgement(row, mean, interval, changes)
    classes, of_present = (None, None) if of_line is None else _classes(of_line)
    return RowResult(
        *(row, values, len(cells), images, interval, difference, judgement, classes, of_present)
    )


def _classes(drawn: _Drawn) -> tuple[ClassCounts | None, float | None]:
    """Return what classes there are, and the mean over the seeds of the mean over those present."""
    first = next(iter(drawn.classes.values()))
    if first is None or not first.present:
        return first, None
    means = [
        drawn.whole[seed] * counts.counted / counts.present
        for seed, counts in drawn.classes.items()
        if counts is not None
    ]
    return first, statistics.fmean(means)


def _interval(scores: NDArray[np.float64], drawn: _Drawn) -> Interval | None:
    return percentile_interval(scores) if len(drawn.images) >= LEAST_IMAGES else None


def _difference(drawn: _Drawn | None, plain: _Drawn | None) -> PairedDifference | None:
    """Compare runs of the same seeds on the same drawn images."""
    if drawn is None or plain is None or drawn.images != plain.images:
        return None
    seeds = [seed for seed in drawn.whole if seed in plain.whole]
    if not seeds:
        return None
    value = statistics.fmean(drawn.whole[seed] - plain.whole[seed] for seed in seeds)
    moved = drawn.mean(seeds) - plain.mean(seeds)
    return PairedDifference(value, _interval(moved, drawn), len(drawn.images))


def _judgement(row: TableRow, mean: float | None, interval: Interval | None, changes: str) -> str:
    """Say where the published number lies beside the interval of ours."""
    if row.published is None or mean is None:
        return ""
    if changes:
        return f"{NOT_COMPARABLE}: {changes}"
    if interval is None:
        return f"{NOT_COMPARABLE}: there is no interval, of too few images or of none kept"
    if interval.holds(row.published.value):
        return "within"
    return "above" if interval.low > row.published.value else "below"
