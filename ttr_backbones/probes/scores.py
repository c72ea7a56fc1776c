"""The scores of many heads over a run: which is best, as a table and as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ttr_backbones.atomic import write_atomically
from ttr_backbones.text_table import aligned


class Score(NamedTuple):
    """The ranking metric of one head at one validation."""

    name: str
    iteration: int
    value: float


class Scores:
    """What every validation gave for every head.

    Args:
        names: of the heads.
        key: the metric that ranks them.
        higher_is_better: its direction.

    Attributes:
        diverged: {name: iteration} of the heads that are lost.
        rows: one dict per validation and head: iteration, probe and the metrics.
        held_out: one dict per validation: iteration, and what choosing the best head there is worth
            on images that did not choose it, see `HeldOutChoice`.
    """

    def __init__(self, names: Sequence[str], key: str, *, higher_is_better: bool) -> None:
        self.names, self.key, self.higher_is_better = tuple(names), key, higher_is_better
        self.diverged: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.held_out: list[dict[str, Any]] = []

    @property
    def alive(self) -> list[str]:
        """The heads that have not diverged."""
        return [name for name in self.names if name not in self.diverged]

    def add(self, iteration: int, metrics: Mapping[str, Any]) -> None:
        """Take the metrics `<head>/<metric>` of a validation, in place of an earlier one there."""
        self.rows = [row for row in self.rows if row["iteration"] != iteration]
        for name in self.alive:
            of_head = {
                key.removeprefix(f"{name}/"): float(f"{value:.6g}")
                for key, value in metrics.items()
                if key.startswith(f"{name}/")
            }
            if of_head:
                self.rows.append({"iteration": iteration, "probe": name, **of_head})

    def add_held_out(self, iteration: int, row: Mapping[str, Any] | None) -> None:
        """Take the held-out score of a validation, or none, in place of an earlier one there."""
        self.held_out = [old for old in self.held_out if old["iteration"] != iteration]
        if row is not None:
            rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}
            self.held_out.append({"iteration": iteration, **rounded})

    def held_out_at(self, iteration: int) -> dict[str, Any] | None:
        """Return the held-out score of a validation, if it has one."""
        return next((row for row in self.held_out if row["iteration"] == iteration), None)

    def best(self, name: str | None = None) -> Score | None:
        """Return the best score of all heads, or of one; of equal ones the first; None without."""
        scores = [
            Score(row["probe"], row["iteration"], row[self.key])
            for row in self.rows
            if self.key in row and name in (None, row["probe"])
        ]
        sign = 1 if self.higher_is_better else -1
        return max(scores, key=lambda score: sign * score.value, default=None)

    def table(self) -> list[str]:
        """Lay out the latest validation, best head first, the diverged ones last."""
        latest = max((row["iteration"] for row in self.rows), default=0)
        rows = [row for row in self.rows if row["iteration"] == latest]
        rows.sort(key=lambda row: row.get(self.key, 0.0), reverse=self.higher_is_better)
        others = [key for key in (rows[0] if rows else {}) if key not in ("iteration", "probe")]
        columns = sorted(others, key=lambda key: key != self.key)
        cells = [[f"iteration {latest}", *columns]]
        for row in rows:
            is_best = self.best() == Score(row["probe"], latest, row[self.key])
            values = [f"{row[key]:.4g}" for key in columns]
            cells.append([row["probe"], *values, *(["best so far"] if is_best else [])])
        cells += [[name] for name in self.diverged]
        lines = aligned(cells, "l" + "r" * len(columns) + "l")
        whole, lost = lines[: len(rows) + 1], lines[len(rows) + 1 :]
        ends = [f"  diverged at iteration {at}" for at in self.diverged.values()]
        return whole + [line + end for line, end in zip(lost, ends, strict=True)]

    def write(self, folder: Path) -> None:
        """Write `probes.csv` and `probes.json`."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns or ["iteration", "probe"])
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(folder / "probes.csv", table.getvalue().encode())
        best = self.best()
        record = {
            "metric": self.key,
            "higher_is_better": self.higher_is_better,
            "best": best._asdict() if best else None,
            **self.state(),
        }
        write_atomically(folder / "probes.json", (json.dumps(record, indent=1) + "\n").encode())

    def state(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        return {
            "diverged": dict(self.diverged),
            "scores": list(self.rows),
            "held_out": list(self.held_out),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.diverged = dict(state.get("diverged", {}))
        self.rows = [dict(row) for row in state.get("scores", [])]
        self.held_out = [dict(row) for row in state.get("held_out", [])]
