"""Rows of the bench as facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpu_steps.step import Check
from ttr_backbones.bench.row import BenchRow


def record_rows(
    check: Check,
    rows: Sequence[BenchRow],
    where: str,
    *,
    goals: Mapping[str, str] | None = None,
    rates: Mapping[str, float] | None = None,
) -> None:
    """Record the ratio of each row, or its speed where it is compared with nothing.

    Args:
        check: takes the facts.
        rows: of `bench.rounds.measure`.
        where: what they have in common.
        goals: of ratios: contestant -> name of the goal.
        rates: of matrix products, by kind of number.
    """
    for row in rows:
        at = f"{where}, {row.variant}, batch {row.batch_size}: {row.contestant}"
        words = [f"{1e3 * row.seconds:.2f} ms", f"{row.images_per_second:,.1f} images/s"]
        share = row.share(rates or {})
        words += [f"{100 * share:.0f} % of matrix products"] if share else []
        words += [f"{row.peak_bytes / 2**20:,.0f} MiB"] if row.peak_bytes else []
        words += [f"first run {row.first_seconds:.1f} s"] if row.first_seconds > 1 else []
        value = row.seconds
        if row.ratio is not None and row.against != row.contestant:
            value = row.ratio.median
            quartiles = f"{row.ratio.low:.3f} to {row.ratio.high:.3f}"
            words.insert(0, f"**{value:.3f}** ({quartiles}) times {row.against}")
        check.record(at, value, ", ".join(words), goal=(goals or {}).get(row.contestant))
