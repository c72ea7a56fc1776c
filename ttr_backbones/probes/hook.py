"""`KeepProbes`: each head's scores and checkpoints, and what happens to those that diverge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.atomic import writing_atomically
from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError
from ttr_backbones.probes.held_out import held_out_line, held_out_score
from ttr_backbones.probes.scores import Scores

FOLDER = "probes"
_INFO = "probes"


@HOOKS.register_module()
class KeepProbes(Hook):
    """After every validation: a table, and every head as a checkpoint like that of a run alone.

    In the work dir: `probes.csv` and `probes.json` with all scores, and in `probes/<name>/` the
    head's `iter_<n>.pth`, which `ttrb test` takes with the `config.py` beside it. Of earlier ones
    the best is kept. Below the table, and in `probes.json`, stands what the choice of the best head
    is worth on images that did not choose it, see `HeldOutChoice`. A head that diverges is logged,
    and its loss counts as 0; the others go on. The hook takes the place of `StopOnNaN`, which
    would end the run.

    Args:
        names: of the heads.
        key: the metric that ranks them.
        higher_is_better: its direction.
    """

    def __init__(self, names: Sequence[str], key: str, *, higher_is_better: bool) -> None:
        self.scores = Scores(names, key, higher_is_better=higher_is_better)
        self._kept_at: int | None = None

    def before_train(self, runner: Any) -> None:
        """Go on with the scores of the run that is resumed."""
        if runner.iter > 0:
            self.scores.load(runner.message_hub.get_info(_INFO, {}))

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Look at the losses where mmengine has logged them: the device is not asked once more."""
        for name in self.scores.alive:
            if not math.isfinite(runner.message_hub.get_scalar(f"train/{name}").current()):
                self._diverged(runner, name, runner.iter + 1)

    def after_val_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        """Note the scores, write the table and the checkpoints."""
        self._drop_broken(runner)
        self.scores.add(runner.iter, metrics or {})
        line = self._choose_held_out(runner, metrics or {})
        self._keep(runner)
        table = "\n".join([*self.scores.table(), line])
        runner.logger.info(f"\n{table}")

    def _choose_held_out(self, runner: Any, metrics: dict[str, Any]) -> str:
        """Score the choice of a head on images that did not make it; return what to say of it."""
        key, names = self.scores.key, self.scores.alive
        values = {n: float(metrics[f"{n}/{key}"]) for n in names if f"{n}/{key}" in metrics}
        found: list[Any] = [None]
        if is_main_process():
            choice = runner.val_loop.evaluator.choice
            found = [choice.row(values, higher_is_better=self.scores.higher_is_better)]
        broadcast_object_list(found)
        row, why = found[0]
        self.scores.add_held_out(runner.iter, row)
        row = self.scores.held_out_at(runner.iter)
        return f"held out: none, {why}" if row is None else held_out_line(row, key)

    def after_train(self, runner: Any) -> None:
        """Write what a run without a last validation has left, and name the best."""
        if self._kept_at != runner.iter:
            self._drop_broken(runner)
            self._keep(runner)
        best = self.scores.best()
        if best is not None:
            folder = Path(runner.work_dir) / FOLDER / best.name
            row = self.scores.held_out_at(best.iteration)
            runner.logger.info(
                f"The best of {len(self.scores.names)} heads is {best.name}: {self.scores.key} "
                f"{best.value:.4g} at iteration {best.iteration}. It was chosen on the validation "
                f"images{f'; {held_out_score(row, self.scores.key)}' if row else ''}. "
                f"ttrb test {folder / 'config.py'} {folder / _file(best.iteration)}"
            )

    def _keep(self, runner: Any) -> None:
        self._kept_at = runner.iter
        runner.message_hub.update_info(_INFO, self.scores.state())
        if not is_main_process():
            return
        work_dir = Path(runner.work_dir)
        self.scores.write(work_dir)
        heads: Any = unwrapped(runner.model).decode_head
        for index, name in enumerate(self.scores.names):
            if name in self.scores.alive:
                folder = work_dir / FOLDER / name
                content = {
                    "meta": {"iter": runner.iter, "probe": name},
                    "state_dict": heads.weights_of(index),
                }
                with writing_atomically(folder / _file(runner.iter)) as partial:
                    torch.save(content, partial)
                self._remove_outdated(folder, name, runner.iter)

    def _remove_outdated(self, folder: Path, name: str, iteration: int) -> None:
        best = self.scores.best(name)
        kept = {_file(iteration)} | ({_file(best.iteration)} if best else set())
        for path in folder.glob("iter_*.pth"):
            if path.name not in kept:
                path.unlink()

    def _drop_broken(self, runner: Any) -> None:
        heads: Any = unwrapped(runner.model).decode_head
        for index, name in enumerate(self.scores.names):
            weights = heads.weights_of(index).values()
            if name in self.scores.alive and not all(w.isfinite().all() for w in weights):
                self._diverged(runner, name, runner.iter)

    def _diverged(self, runner: Any, name: str, iteration: int) -> None:
        self.scores.diverged[name] = iteration
        runner.logger.warning(f"The head {name} has diverged at iteration {iteration}.")
        if not self.scores.alive:
            raise InputError(
                f"all {len(self.scores.names)} heads have diverged, the last one at iteration "
                f"{iteration}: take lower learning rates in --probe-grid lr=..., and check that "
                "the images are normalised for the backbone"
            )


def _file(iteration: int) -> str:
    return f"iter_{iteration}.pth"
