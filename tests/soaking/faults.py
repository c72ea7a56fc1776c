"""What goes wrong in a soak run, and what the run has to say about it."""

from __future__ import annotations

import errno
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soaking.disk import Disk
from soaking.training import Sabotage, Training

_SHARE = 0.01  # of the files, corrupt


@dataclass(frozen=True)
class Site:
    """Where faults happen.

    Args:
        work_dir: Of the run.
        files: The images and masks that it reads.
        disk: What `work_dir` lies on; None if this process may not mount one, and faults of the
            disk are errors raised inside the run instead.
        rng: Draws moments and places.
    """

    work_dir: Path
    files: list[Path]
    disk: Disk | None
    rng: np.random.Generator


class Fault:
    """One kind of fault: it begins before or in a training, and ends after it.

    Attributes:
        name: For the table.
        exit_code: What the training has to end with, as `Training` has it.
        sabotage: What is to go wrong inside the training, or None.
        sweeps: Whether the training can take away what it has half-written; else the next one
            does.
    """

    name: str
    exit_code: int
    sabotage: Sabotage | None = None
    sweeps = True

    def __init__(self, site: Site) -> None:
        self.site = site

    def before(self) -> None:
        """Do harm before the training starts."""

    def amid(self, training: Training) -> None:
        """Do harm while it runs."""

    def after(self) -> None:
        """Mend what was broken."""

    def named_in(self, said: str) -> bool:
        """Whether the training has told what went wrong."""
        raise NotImplementedError

    def _reach_some_moment(self, training: Training) -> bool:
        """Wait for anything between two iterations; return whether the training still runs."""
        runs = training.run_until(int(self.site.rng.integers(1, 11)))
        time.sleep(self.site.rng.uniform(0, 0.06))
        return runs


class Kill(Fault):
    """SIGKILL, with or without the data-loader workers."""

    name, exit_code, sweeps = "kill -9", -signal.SIGKILL, False

    def amid(self, training: Training) -> None:
        """Do it between any two iterations."""
        if self._reach_some_moment(training):
            training.signal(signal.SIGKILL, group=bool(self.site.rng.integers(2)))

    def named_in(self, said: str) -> bool:
        """It cannot speak: the next training tells from where it goes on."""
        return True


class KillInWriting(Kill):
    """SIGKILL with half of a checkpoint, or of the file that names the last one, written."""

    name = "kill -9 in a checkpoint"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        file = str(site.rng.choice(["iter_", "last_checkpoint"]))
        self.sabotage = Sabotage(file, signal.SIGKILL)

    def amid(self, training: Training) -> None:
        """It happens inside."""


class Stop(Fault):
    """SIGTERM to the process alone, as `kill` sends it."""

    name, number, group = "SIGTERM", signal.SIGTERM, False

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.exit_code = 128 + self.number

    def amid(self, training: Training) -> None:
        """Do it between any two iterations."""
        if self._reach_some_moment(training):
            training.signal(self.number, group=self.group)

    def named_in(self, said: str) -> bool:
        """It names the signal."""
        return f"ttrb: stopped by {self.number.name} " in said


class StopAll(Stop):
    """SIGTERM to the data-loader workers too, as timeout and systemd send it."""

    name, group = "SIGTERM to all", True


class StopInTime(Stop):
    """SIGUSR1 to all processes, as slurm sends it before the time limit."""

    name, number, group = "SIGUSR1 to all", signal.SIGUSR1, True


class StopInWriting(Stop):
    """SIGTERM while a checkpoint is being written."""

    name, sabotage = "SIGTERM in a checkpoint", Sabotage("iter_", signal.SIGTERM)

    def amid(self, training: Training) -> None:
        """It happens inside."""


class CorruptFiles(Fault):
    """One in a hundred images and masks is cut, emptied, zeroed or replaced by a web page."""

    name, exit_code = "corrupt files", 2

    def amid(self, training: Training) -> None:
        """Do it after the first iteration."""
        training.run_until(1)
        files, rng = self.site.files, self.site.rng
        chosen = rng.choice(len(files), max(1, round(_SHARE * len(files))), replace=False)
        self._intact = {files[index]: files[index].read_bytes() for index in chosen}
        for path, content in self._intact.items():
            corrupt = (
                content[: int(rng.integers(1, len(content) - 2))],
                b"",
                bytes(len(content)),
                b"<html><body>404 Not Found</body></html>",
            )
            _replace(path, corrupt[rng.integers(len(corrupt))])

    def after(self) -> None:
        """Put the files back."""
        for path, content in self._intact.items():
            _replace(path, content)

    def named_in(self, said: str) -> bool:
        """It names the file."""
        return any(re.search(rf"error: the (image|mask) {path} ", said) for path in self._intact)


class FullDisk(Fault):
    """Less is free than a checkpoint needs."""

    name, exit_code = "full disk", 2

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if site.disk is None:
            self.sabotage = Sabotage("iter_", OSError(errno.ENOSPC, "injected"))

    def amid(self, training: Training) -> None:
        """Do it between any two iterations."""
        if self.site.disk and self._reach_some_moment(training):
            self.site.disk.fill(int(self.site.rng.integers(_largest_checkpoint(self.site))))

    def after(self) -> None:
        """Free the space."""
        if self.site.disk:
            self.site.disk.empty()

    def named_in(self, said: str) -> bool:
        """It names the file and the reason."""
        return _unwritten(self.site.work_dir, said) == "no space is left on its disk"


class FullDiskAtStart(FullDisk):
    """Less is free than what a training writes before its first iteration."""

    name = "full disk at the start"

    def before(self) -> None:
        """Fill the disk."""
        if self.site.disk:
            self.site.disk.fill(0)

    def amid(self, training: Training) -> None:
        """It has happened before."""


class ReadOnly(Fault):
    """The work dir becomes read-only in the midst of the run."""

    name, exit_code, sweeps = "read-only work dir", 2, False

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        if site.disk is None:
            self.sabotage = Sabotage("iter_", OSError(errno.EROFS, "injected"))

    def amid(self, training: Training) -> None:
        """Do it between any two iterations."""
        if self.site.disk and self._reach_some_moment(training):
            self.site.disk.protect(self.site.work_dir)

    def after(self) -> None:
        """Make it writable."""
        if self.site.disk:
            self.site.disk.release(self.site.work_dir)

    def named_in(self, said: str) -> bool:
        """It names the file or folder and the reason."""
        return _unwritten(self.site.work_dir, said) == "its file system is read-only"


class ReadOnlyAtStart(ReadOnly):
    """The work dir is read-only when the run starts."""

    name = "read-only at the start"

    def before(self) -> None:
        """Make it read-only."""
        if self.site.disk:
            self.site.work_dir.mkdir(exist_ok=True)
            self.site.disk.protect(self.site.work_dir)

    def amid(self, training: Training) -> None:
        """It has happened before."""


FAULTS: tuple[type[Fault], ...] = (
    Kill,
    KillInWriting,
    Stop,
    StopAll,
    StopInTime,
    StopInWriting,
    CorruptFiles,
    FullDisk,
    FullDiskAtStart,
    ReadOnly,
    ReadOnlyAtStart,
)


def _unwritten(work_dir: Path, said: str) -> str | None:
    """Why nothing could be written to `work_dir`, as the error in `said` tells."""
    found = re.search(rf"error: {work_dir}\S*( \(.+?\))? cannot be written: (.+?)[,.]", said)
    return found and found[2]


def _largest_checkpoint(site: Site) -> int:
    return max((path.stat().st_size for path in site.work_dir.glob("*.pth")), default=1)


def _replace(path: Path, content: bytes) -> None:
    """At once: a run that reads the file gets the old content or the new."""
    partial = path.with_suffix(".new")
    partial.write_bytes(content)
    partial.replace(path)
