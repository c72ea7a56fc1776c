"""Running one cell, or taking what an earlier run of it left."""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import json
import operator
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ttr_backbones import __version__
from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.app.data_folders import check_folders
from ttr_backbones.app.progress import rate_and_eta
from ttr_backbones.app.runner import build_runner, close_log_files
from ttr_backbones.app.testing import only_test, use_tta
from ttr_backbones.atomic import write_atomically
from ttr_backbones.compare.plan import Cell
from ttr_backbones.compare.stored_image_parts import FILE, KeepImageParts, check_parts, write_parts
from ttr_backbones.engine import latest_checkpoint, stop_signals
from ttr_backbones.errors import InputError
from ttr_backbones.tasks import find_task

RESULT = "result.json"
Log = Callable[[str], object]


@dataclass(frozen=True)
class CellResult:
    """What became of a cell.

    Args:
        value: the metric's number.
        seconds: wall time of the run that measured it.
        how: "", or how this was no plain run: "reused", "resumed from iter_2.pth", anew because of
            a changed config.
    """

    value: float
    seconds: float
    how: str = ""


def finished(cell: Cell) -> CellResult | None:
    """Return what an earlier run of this very config measured, or None.

    Raises:
        InputError: the file of the result cannot be read.
    """
    path = cell.folder / RESULT
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["fingerprint"] == cell.fingerprint:
            return CellResult(float(stored["value"]), float(stored["seconds"]), "reused")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no result of ttrb compare ({error!r}): delete it to run the cell anew"
        ) from error
    return None


def check_data(cell: Cell) -> None:
    """Check the folders of all data sets of a cell, which also validates while it trains.

    Raises:
        MissingFileError: see `check_folders`.
    """
    trains = cell.cfg.get("train_cfg") is not None
    loaders = ("train_dataloader", "val_dataloader") if trains else ()
    check_folders(cell.cfg, *loaders, "test_dataloader")


def run_cell(cell: Cell, log: Log) -> CellResult:
    """Train, from the newest checkpoint in the cell's folder if there is one, and test.

    The checkpoint of the last iteration is tested, by a Runner of its own as in `ttrb test`.

    Args:
        cell: what to run.
        log: called with "training 20/200" and the like, often.

    Returns:
        What was measured; it is in the cell's result file too.

    Raises:
        InputError: data or config cannot be used.
    """
    start = time.perf_counter()
    trains = cell.cfg.get("train_cfg") is not None
    check_data(cell)
    earlier = latest_checkpoint(cell.folder) if trains else None
    if trains:
        _train(cell.cfg, earlier, log)
    checkpoint = latest_checkpoint(cell.folder) if trains else None
    kept = KeepImageParts(find_task(cell.cfg))
    metrics = _test(cell, checkpoint, log, kept)
    value = cell.row.metric.value(metrics)
    images = _keep_images(cell, kept, value)
    how = f"resumed from {earlier.name}" if earlier else _changed(cell)
    outcome = CellResult(value, time.perf_counter() - start, how)
    _write(cell, outcome, metrics, checkpoint, images)
    return outcome


def _keep_images(cell: Cell, kept: KeepImageParts, value: float) -> str:
    """Write what was kept of single images, before the result that says that a cell is done.

    Returns:
        The file, or why there is none.
    """
    (cell.folder / FILE).unlink(missing_ok=True)
    task = find_task(cell.cfg)
    if kept.found is None or task is None:
        return "none: the task keeps no parts of single images"
    if why := check_parts(kept.found, task, value):
        return f"none: {why}"
    write_parts(cell.folder, kept.found)
    return FILE


def _changed(cell: Cell) -> str:
    """Return where earlier results lie that this cell had with another config."""
    prefix = cell.folder.name.partition("-")[0]
    others = sorted(path.parent.name for path in cell.folder.parent.glob(f"{prefix}-*/{RESULT}"))
    return f"the config has changed; earlier results stay in {', '.join(others)}" if others else ""


def _train(cfg: Config, earlier: Path | None, log: Log) -> None:
    cfg = copy.deepcopy(cfg)
    if earlier is not None:
        cfg.load_from = str(earlier)
    cfg.resume = earlier is not None
    _run(cfg, log, operator.methodcaller("train"))


def _test(cell: Cell, checkpoint: Path | None, log: Log, kept: KeepImageParts) -> dict[str, Any]:
    cfg = copy.deepcopy(cell.cfg)
    cfg.resume = False
    if checkpoint is not None:
        cfg.load_from = str(checkpoint)
    only_test(cfg)
    if cell.tta:
        use_tta(cfg)
    return _run(cfg, log, operator.methodcaller("test"), kept)


def _run(cfg: Config, log: Log, step: Callable[[Runner], Any], *hooks: Hook) -> Any:
    """Take a step of a new Runner; what it logs is in the work dir, not on the screen."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(_Nowhere()), stop_signals():
        # mmseg tells of deprecations inside itself and of defaults that are meant here.
        warnings.simplefilter("ignore", UserWarning)
        runner = build_runner(cfg)
        for hook in (_Progress(log), *hooks):
            runner.register_hook(hook, priority="VERY_LOW")
        try:
            with clear_config_errors():
                return step(runner)
        finally:
            close_log_files(runner)
            # Else the models and the loaders' processes of all cells would be alive at once.
            del runner
            gc.collect()
            torch.cuda.empty_cache()


class _Nowhere(io.TextIOBase):
    """Takes what mmengine prints; a logger may hold on to it, so that it must stay open."""

    def write(self, text: str) -> int:
        """Forget `text`."""
        return len(text)


class _Progress(Hook):
    """Tells how far a Runner is, how fast it goes, and how long it will take."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._step, self._last, self._first, self._start = "", 0, 0, 0.0

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:  # noqa: ARG002
        self._show("training", runner.iter + 1, runner.max_iters)

    def after_val_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        self._show("validating", batch_idx + 1, len(runner.val_dataloader))

    def after_test_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        self._show("testing", batch_idx + 1, len(runner.test_dataloader))

    def _show(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step != self._step or done <= self._last:
            self._step, self._first, self._start = step, done, now
        self._last = done
        text = f"{step} {done}/{total}"
        if done > self._first and now > self._start:
            text += f", {rate_and_eta((done - self._first) / (now - self._start), total - done)}"
        self._log(text)


def _write(
    cell: Cell, outcome: CellResult, metrics: dict[str, Any], checkpoint: Path | None, images: str
) -> None:
    record = {
        "config": str(cell.cfg.filename),
        "repair": cell.row.repair,
        "seed": cell.seed,
        "metric": cell.row.metric.key,
        "value": outcome.value,
        "metrics": metrics,
        "images": images,
        "tta": cell.tta,
        "checkpoint": checkpoint.name if checkpoint else None,
        "seconds": round(outcome.seconds, 1),
        "versions": {"ttr_backbones": __version__, "torch": torch.__version__},
        "fingerprint": cell.fingerprint,
    }
    text = json.dumps(record, indent=1, default=float) + "\n"
    write_atomically(cell.folder / RESULT, text.encode())
