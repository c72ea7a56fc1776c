"""All cells of a table, before any of them runs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from ttr_backbones.app.config import section
from ttr_backbones.compare.experiments import Experiment, LeftOutError, find_experiments
from ttr_backbones.compare.fingerprint import fingerprint
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.compare.published import Published
from ttr_backbones.compare.repair_names import NONE, check_repair, repair_folder
from ttr_backbones.errors import InputError
from ttr_backbones.tasks import Metric, metric_of
from ttr_backbones.tasks.of_config import needs_checkpoint


@dataclass(frozen=True)
class TableRow:
    """One line of the table: a backbone on a task with one repair.

    Args:
        experiment: name of the experiment.
        backbone: its label.
        task: label of head and data.
        repair: its kind, see `compare.repair_names`.
        metric: the number that is compared.
        published: the paper's number, or None.
    """

    experiment: str
    backbone: str
    task: str
    repair: str
    metric: Metric
    published: Published | None


@dataclass(frozen=True)
class Cell:
    """One run.

    Args:
        row: the line that it belongs to.
        seed: of the run; None if it trains nothing, so that every seed would give the same.
        cfg: the complete config; its `work_dir` is the cell's own folder.
        tta: test as `ttrb test --tta` does.
        fingerprint: of `cfg` and `tta`.
    """

    row: TableRow
    seed: int | None
    cfg: Config
    tta: bool
    fingerprint: str

    @property
    def name(self) -> str:
        """Config, repair and seed."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.row.experiment}, {self.row.repair}{seed}"

    @property
    def folder(self) -> Path:
        """Where everything of this cell lies."""
        return Path(self.cfg.work_dir)


@dataclass(frozen=True)
class ComparisonPlan:
    """The cells of a table, line by line, and what is not in it.

    Args:
        cells: the runs.
        notes: in sentences.
        left_out: rows without a run, of kinds that were named and do not fit; a note says why.
    """

    cells: list[Cell]
    notes: list[str]
    left_out: list[TableRow] = field(default_factory=list)


def make_plan(
    configs: Sequence[str],
    kinds: Sequence[str] | None,
    seeds: Sequence[int],
    out: Path,
    options: ConfigChanges,
    *,
    backbone: str | None = None,
    repair: str | None = None,
    more_follow: bool = False,
) -> ComparisonPlan:
    """Load every config with every repair and every seed.

    A cell's folder is named by its fingerprint too: results of another config stay where they are,
    and no run goes on from their checkpoints.

    Args:
        configs: files, or names of recipes.
        kinds: see `compare.repair_names`; None takes those of each experiment.
        seeds: of the trainings.
        out: folder of the table and all runs.
        options: what changes the configs.
        backbone: of the configs that are protocols' names alone.
        repair: in place of the test-time register.
        more_follow: whether `options` are for other configs too, so that the caller checks that
            all of them are used.

    Raises:
        InputError: a config or an option that cannot be used, or no cell at all.
    """
    cells: list[Cell] = []
    notes: list[str] = []
    left_out: list[TableRow] = []
    for experiment in find_experiments(configs, backbone=backbone, repair=repair):
        offered = experiment.kinds(options)  # reads the config, and imports its repair
        for kind in offered if kinds is None else kinds:
            check_repair(kind, offered)
            try:
                cfg = experiment.config(kind, options)
            except LeftOutError as error:
                notes.append(f"{experiment.name}, {kind} is left out: {error}")
                if kinds is not None and kind != NONE:
                    with suppress(LeftOutError):
                        plain = experiment.config(NONE, options)
                        left_out.append(_row(experiment, kind, plain))
                continue
            row = _row(experiment, kind, cfg)
            folder = out / "runs" / experiment.name / repair_folder(kind)
            tta = experiment.needs_tta(cfg)
            trains = cfg.get("train_cfg") is not None
            if not trains and needs_checkpoint(cfg) and not cfg.get("load_from"):
                raise InputError(
                    f"{cfg.filename} has neither train_cfg nor load_from: the test would be of a "
                    "head that never learned anything. Give it one of them."
                )
            cells += [
                _cell(row, seed, cfg, tta=tta, folder=folder)
                for seed in (seeds if trains else [None])
            ]
    if not more_follow:
        options.check_all_used()
    notes += options.notes
    if not cells:
        raise InputError(f"nothing to compare: {'; '.join(notes)}")
    return ComparisonPlan(cells, notes, left_out)


def _row(experiment: Experiment, kind: str, cfg: Config) -> TableRow:
    backbone, task = experiment.label(cfg)
    metric = metric_of(cfg)
    published = experiment.published(kind, metric.name)
    return TableRow(experiment.name, backbone, task, kind, metric, published)


def _cell(row: TableRow, seed: int | None, cfg: Config, *, tta: bool, folder: Path) -> Cell:
    cfg = copy.deepcopy(cfg)
    if seed is not None:
        section(cfg, "randomness")["seed"] = seed
    mark = fingerprint(cfg, tta=tta)
    prefix = "run" if seed is None else f"seed{seed}"
    cfg.work_dir = str(folder / f"{prefix}-{mark[:8]}")
    return Cell(row, seed, cfg, tta, mark)
