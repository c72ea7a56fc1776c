"""All that the page says, as plain data: HTML, Markdown and JSON are written from it."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ttr_backbones import __version__
from ttr_backbones.benchmark.inputs import DataFacts
from ttr_backbones.benchmark.plan import BenchmarkPlan, BenchmarkRequest
from ttr_backbones.benchmark.statistics import BOOTSTRAP_SEED, RowResult
from ttr_backbones.compare.repairs_table import RepairTable
from ttr_backbones.repairs.from_config import repair_options

_PACKAGES = ("torch", "timm", "mmengine", "mmsegmentation", "numpy")


@dataclass(frozen=True)
class RunFacts:
    """What is of this run alone; everything else on the page comes out the same again.

    Args:
        date: day and hour.
        machine: processor, threads, GPU.
        seconds: that all cells took together, those of earlier runs too.
        command: that was typed.
    """

    date: str
    machine: str
    seconds: float
    command: str


@dataclass(frozen=True)
class Report:
    """The page.

    Args:
        results: every line.
        data: all data sets that were used.
        weights: backbone -> (file name, SHA-256), or of the hub.
        artifacts: "backbone, repair" -> SHA-256 of what is applied.
        seeds: of the trainings.
        rounds: of the bootstrap.
        changes: experiment -> why it compares with no published number, or "".
        left_out: (what, why).
        failed: (cells, why).
        effects: side effects of the repairs, one table per backbone; without times.
        notes: on them.
        versions: package -> version.
        run: of this run alone.
    """

    results: Sequence[RowResult]
    data: Sequence[DataFacts]
    weights: Mapping[str, tuple[str, str]]
    artifacts: Mapping[str, str]
    seeds: Sequence[int]
    rounds: int
    changes: Mapping[str, str]
    left_out: Sequence[tuple[str, str]]
    failed: Sequence[tuple[str, str]]
    effects: Sequence[RepairTable]
    notes: Sequence[str]
    versions: Mapping[str, str]
    run: RunFacts

    @property
    def compared(self) -> list[RowResult]:
        """The lines whose difference has an interval."""
        return [r for r in self.results if r.difference and r.difference.interval is not None]

    @property
    def shown(self) -> list[RowResult]:
        """Those whose difference is not zero, by its interval."""
        return [result for result in self.compared if result.verdict in ("better", "worse")]

    def record(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        plain = asdict(self)
        plain["results"] = [_plain(result) for result in self.results]
        plain["data"] = [asdict(facts) | {"files": len(facts.files)} for facts in self.data]
        plain["bootstrap"] = {"rounds": plain.pop("rounds"), "seed": BOOTSTRAP_SEED}
        plain["effects"] = [
            {
                "backbone": table.backbone,
                "columns": [measure.key for measure in (*table.effects, *table.costs)],
                "rows": {row.kind: [*row.effects, *row.costs] for row in table.rows},
            }
            for table in self.effects
        ]
        return plain


@dataclass
class CellsRan:
    """What became of the cells.

    Args:
        results: every line.
        failed: name of a cell -> why.
        seconds: of all cells.
        effects: of the repairs, [] where nothing was measured.
        notes: on them.
    """

    results: Sequence[RowResult]
    failed: Mapping[str, str]
    seconds: float
    effects: Sequence[RepairTable] = ()
    notes: Sequence[str] = field(default_factory=list)


def make_report(
    plan: BenchmarkPlan, request: BenchmarkRequest, ran: CellsRan, rounds: int, command: str
) -> Report:
    """Put everything together.

    Args:
        plan: what was to be run.
        request: of the user.
        ran: what became of it.
        rounds: of the bootstrap.
        command: that was typed.
    """
    reasons: dict[str, list[str]] = {}
    for name, why in ran.failed.items():
        reasons.setdefault(why, []).append(name)
    data = {facts.sha256: facts for of_one in plan.data.values() for facts in of_one}
    return Report(
        results=ran.results,
        data=list(data.values()),
        weights={
            name: (Path(file).name if file else "from the hub", plan.weights[name] or "")
            for name, file in request.backbones.items()
        },
        artifacts=_artifacts(plan),
        seeds=list(request.seeds),
        rounds=rounds,
        changes={name: plan.changes[of] for name, of in plan.protocols.items()},
        left_out=plan.left_out,
        failed=[("; ".join(names), why) for why, names in reasons.items()],
        effects=ran.effects,
        notes=ran.notes,
        versions={"ttr_backbones": __version__, **{name: _version(name) for name in _PACKAGES}},
        run=RunFacts(_now(), _machine(), round(ran.seconds, 1), command),
    )


def _plain(result: RowResult) -> dict[str, Any]:
    row, published = result.row, result.row.published
    plain: dict[str, Any] = {
        "experiment": row.experiment,
        "backbone": row.backbone,
        "task": row.task,
        "repair": Path(row.repair).name,
        "metric": row.metric.key,
        "unit": row.metric.unit,
        "mean": result.mean,
        "std": result.std,
        "runs": {str(seed): value for seed, value in result.values.items()},
        "images": result.images,
        "classes": result.classes and result.classes._asdict(),
        "mean_of_present_classes": result.of_present,
        "interval": result.interval,
        "verdict": result.verdict,
        "published": published and asdict(published),
        "judgement": result.judgement,
    }
    if result.difference is not None:
        plain["difference"] = asdict(result.difference) | {
            "images_needed": result.difference.images_needed
        }
    return plain


def _artifacts(plan: BenchmarkPlan) -> dict[str, str]:
    found = {}
    for cell in plan.cells:
        backbone = cell.cfg.model.backbone
        choice = repair_options(backbone.model, backbone.get("repair"))
        if choice is not None:
            where = "" if Path(cell.row.repair).suffix else " (ships)"
            name = f"{cell.row.backbone}, {Path(cell.row.repair).name}{where}"
            found[name] = choice.artifact.sha256
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:  # a fork of another name, as the doctor says
        return "of another name"


def _now() -> str:
    return dt.datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z")


def _machine() -> str:
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores, "
        f"{torch.get_num_threads()} threads{gpu}, Python {platform.python_version()}"
    )
