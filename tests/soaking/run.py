"""Fault after fault, each followed by a resumed training, and the judgement at the end."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soaking.disk import Disk
from soaking.faults import FAULTS, Fault, Site, Stop
from soaking.judgement import broken_files, differences
from soaking.training import Sabotage, Training
from soaking.work import INTERVAL, make_work
from ttr_backbones.engine import latest_checkpoint

_UNDISTURBED = 5  # iterations after the last fault
_KILLED = -signal.SIGKILL


@dataclass
class SoakRow:
    """A line of the table.

    Args:
        cycle: Its number, or what else it is.
        fault: The fault's name.
        said: What the training said about it.
        problems: What was lost or not named.
        latest: The checkpoint to go on from; None is the start.
        half_written: What a killed training has left.
        resumed_from: From where the next training says that it goes on.
    """

    cycle: str
    fault: str
    said: str
    problems: list[str]
    latest: Path | None = None
    half_written: set[Path] = field(default_factory=set)
    resumed_from: str = ""


class Soak:
    """A soak run.

    Args:
        folder: An empty folder for everything.
        weights: Of augreg ViT-Ti/16; None takes a small random ViT.
        seed: Draws the faults and their moments.

    Attributes:
        disk: What the work dir lies on, in words.
    """

    def __init__(self, folder: Path, weights: Path | None, seed: int) -> None:
        self._folder, self._work = folder, make_work(folder / "data", weights)
        for name in ("logs", "disk"):
            (folder / name).mkdir()
        disk, self.disk = None, "a tmpfs of 64 MiB, really full and really read-only"
        try:
            disk = Disk(folder / "disk")
        except OSError as error:
            self.disk = f"no mount is allowed ({error}): a full or read-only one is injected"
        rng = np.random.default_rng(seed)
        self._training: Training | None = None
        self._site = Site(folder / "disk" / "run", self._work.files, disk, rng)

    def run(self, count: int, deadline: float) -> Iterator[SoakRow]:
        """Run `count` cycles, or until `time.monotonic()` is `deadline`, then one without a fault.

        Yields:
            A row for each cycle, once the next training has shown where it goes on, and one for
            the comparison with an undisturbed run.
        """
        row = None
        for number, kind in zip(range(1, count + 1), self._deck(), strict=False):
            if time.monotonic() > deadline:
                break
            training, following = self._cycle(str(number), kind(self._site))
            if row is not None:
                yield _resumed(row, training)
            row = following
        last = self._iteration() + _UNDISTURBED
        training = self._train("last", self._site.work_dir, last=last)
        training.run_until()
        if row is not None:
            yield _resumed(row, training)
        yield self._compared(training, last)

    def close(self) -> None:
        """End what still runs, and take the work dir off its disk, which goes."""
        if self._training is not None:
            self._training.end()
        if self._site.disk is not None:
            if self._site.work_dir.exists():
                shutil.copytree(self._site.work_dir, self._folder / "run")
            self._site.disk.close()

    def _deck(self) -> Iterator[type[Fault]]:
        """Every kind of fault once in a random order, again and again."""
        while True:
            for index in self._site.rng.permutation(len(FAULTS)):
                yield FAULTS[index]

    def _cycle(self, number: str, fault: Fault) -> tuple[Training, SoakRow]:
        before, half_written = self._iteration(), self._half_written()
        fault.before()
        training = self._train(number, self._site.work_dir, sabotage=fault.sabotage)
        fault.amid(training)
        training.run_until()
        fault.after()
        half_written = self._half_written() - half_written
        problems = [
            *_unnamed(fault, training, half_written),
            *self._lost(fault, max(training.iteration, before)),
            *broken_files(self._site.work_dir),
        ]
        said = training.last_words.replace(f"{self._folder}/", "")
        latest = latest_checkpoint(self._site.work_dir)
        return training, SoakRow(number, fault.name, said, problems, latest, half_written)

    def _train(
        self, name: str, work_dir: Path, sabotage: Sabotage | None = None, last: int | None = None
    ) -> Training:
        """Start a training, with none to two data-loader workers: they must not matter."""
        options = [f"train_dataloader.num_workers={self._site.rng.integers(3)}"]
        options += [f"train_cfg.max_iters={last}"] if last else []
        arguments = [str(self._work.config), "--work-dir", str(work_dir), "--resume"]
        log = self._folder / "logs" / f"{name}.txt"
        self._training = Training([*arguments, "--cfg-options", *options], log, sabotage)
        return self._training

    def _lost(self, fault: Fault, done: int) -> Iterator[str]:
        lost = done - self._iteration()
        if lost > (0 if isinstance(fault, Stop) else INTERVAL):
            yield f"{lost} iterations were lost"

    def _compared(self, training: Training, last: int) -> SoakRow:
        undisturbed = self._folder / "undisturbed"
        other = self._train("undisturbed", undisturbed, last=last)
        other.run_until()
        codes = (training.exit_code, other.exit_code)
        problems = [f"ended with {code} instead of 0" for code in codes if code]
        if not problems:
            name = f"iter_{last}.pth"
            problems += differences(self._site.work_dir / name, undisturbed / name)
        said = f"{last} iterations with and without faults give the same, bit for bit"
        return SoakRow("end", "", "" if problems else said, problems)

    def _iteration(self) -> int:
        latest = latest_checkpoint(self._site.work_dir)
        return int(latest.stem.rpartition("_")[2]) if latest else 0

    def _half_written(self) -> set[Path]:
        return set(self._site.work_dir.glob(".*.partial"))


def _unnamed(fault: Fault, training: Training, half_written: set[Path]) -> Iterator[str]:
    if training.exit_code != fault.exit_code:
        yield f"ended with {training.exit_code} instead of {fault.exit_code}"
    if not fault.named_in(training.said):
        yield "the fault was not named"
    if "Traceback" in training.said and training.exit_code != _KILLED:
        yield "there is a traceback"
    if fault.sweeps:
        yield from (f"{path.name} was left half-written" for path in half_written)


def _resumed(row: SoakRow, training: Training) -> SoakRow:
    """Complete `row` with what the training after it says."""
    found = re.search(r"^ttrb: note: resuming from (.+)\.$", training.said, re.MULTILINE)
    row.resumed_from = Path(found[1]).name if found else "the start"
    if row.resumed_from != (row.latest.name if row.latest else "the start"):
        row.problems.append(f"resumed from {row.resumed_from}, the latest is {row.latest}")
    if training.iteration:  # it got as far as to sweep up
        left = [path.name for path in row.half_written if f"Removed {path}" not in training.said]
        row.problems += [f"{name} was not removed" for name in left]
    return row
