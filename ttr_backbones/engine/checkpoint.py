"""Saving checkpoints so that a killed run always finds a complete one."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmseg.registry import HOOKS

from ttr_backbones.atomic import remove_partial_files, writing_atomically
from ttr_backbones.engine.atomic_backend import AtomicBackend

_POINTER = "last_checkpoint"


class _KeepUntilReplaced(AtomicBackend):
    """Remembers what mmengine wants deleted: it asks before the new checkpoint is written."""

    def __init__(self) -> None:
        super().__init__()
        self.outdated: list[str] = []

    def remove(self, filepath: str | Path) -> None:
        self.outdated.append(str(filepath))

    def remove_outdated(self, keep: set[str]) -> None:
        for path in self.outdated:
            if path not in keep:
                Path(path).unlink(missing_ok=True)
        self.outdated.clear()


@HOOKS.register_module()
class HeadCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook for local folders; a run killed at any moment can be resumed.

    Checkpoints, best checkpoints and `last_checkpoint` are written atomically, and an old
    checkpoint is deleted only when the one that replaces it is complete. What the checkpoints hold
    is `SafeCheckpoint`'s part.

    Args:
        *args: As for `CheckpointHook`.
        **kwargs: As for `CheckpointHook`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("backend_args", {"backend": "atomic"})
        super().__init__(*args, **kwargs)

    def before_train(self, runner: Any) -> None:
        """Sweep up after a killed run."""
        super().before_train(runner)
        self.file_backend = _KeepUntilReplaced()
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                for path in remove_partial_files(folder):
                    runner.logger.info(f"Removed {path}, which a killed run left half-written.")

    def save(self, runner: Any, step: int) -> None:
        """Write the checkpoint of iteration `step`, unless it has just been written.

        With `by_epoch` nothing is written: a run resumes at the start of an epoch only.
        """
        name = self.filename_tmpl.format(step)
        if not self.by_epoch and Path(self.last_ckpt or "").name != name:
            meta = {"epoch": runner.epoch, "iter": step}
            self._save_checkpoint_with_step(runner, step, meta)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                oldest = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                self.file_backend.remove(Path(self.out_dir) / oldest)
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        with self._pointing(runner):
            runner.save_checkpoint(
                self.out_dir,
                name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        if is_main_process():
            self._remove_outdated()

    @contextlib.contextmanager
    def _pointing(self, runner: Any) -> Iterator[None]:
        """Let the pointer name the checkpoint that is written within the block.

        The pointer is written first and renamed last, so that a disk which has no room for both
        gets neither.
        """
        if not is_main_process():
            yield
            return
        with writing_atomically(Path(runner.work_dir) / _POINTER) as pointer:
            pointer.write_text(str(self.last_ckpt))
            yield

    def _save_best_checkpoint(self, runner: Any, metrics: dict[str, Any]) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        best = getattr(self, "best_ckpt_path_dict", {"": getattr(self, "best_ckpt_path", None)})
        self.file_backend.remove_outdated(keep={str(self.last_ckpt), *map(str, best.values())})


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the newest complete checkpoint of a run, or None.

    `last_checkpoint` names it; should that file be missing, empty or stale, the complete
    `iter_*.pth` or `epoch_*.pth` with the highest number counts.
    """
    work_dir = Path(work_dir)
    pointer = work_dir / _POINTER
    if pointer.is_file():
        named = Path(pointer.read_text().strip())
        # A work_dir that was moved as a whole still holds its checkpoint under the same name.
        for path in (named, work_dir / named.name):
            if _is_complete(path):
                return path
    steps = {
        path: int(match[1])
        for path in work_dir.glob("*.pth")
        if (match := re.fullmatch(r"(?:iter|epoch)_(\d+)", path.stem)) and _is_complete(path)
    }
    return max(steps, key=lambda path: steps[path], default=None)


def resume_hint(work_dir: str | Path) -> str:
    """Say from which checkpoint the run in `work_dir` can be resumed, and how."""
    path = latest_checkpoint(work_dir)
    if path is None:
        return "No checkpoint was complete by then: the run has to start anew."
    return (
        f"The last complete checkpoint is {path}: repeat the command with --resume to go on from "
        "there."
    )


def _is_complete(path: Path) -> bool:
    # The directory of a zip file, torch's format, stands at its end.
    return path.is_file() and zipfile.is_zipfile(path)
