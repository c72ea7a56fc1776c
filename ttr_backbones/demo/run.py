"""`ttrb demo`: before planting, planted, planted with a test-time register, on three seeds."""

from __future__ import annotations

import contextlib
import json
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from ttr_backbones.datasets.scenes import write_scenes
from ttr_backbones.demo.picture import save_picture
from ttr_backbones.demo.planted import (
    BLOCK,
    NORM,
    OUTLIER_NORM,
    SIZE,
    UNITS,
    build_vit,
    plant_register_neurons,
)
from ttr_backbones.demo.tasks import DEMONSTRATIONS, Demonstration
from ttr_backbones.demo.train import DemoResult, run_model
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.text_table import aligned

BEFORE, PLANTED, REGISTER = "before planting", "planted", "planted + test-time register"
FRACTION = 0.08
NOTICE = textwrap.fill(
    "The model is PLANTED: a small random ViT, not a pretrained one. Two of its MLP units (block "
    f"{BLOCK}, units {UNITS[0]} and {UNITS[1]}) were made to fire on about {FRACTION:.0%} of the "
    f"patches, those that look most like background, and to write a norm of {NORM:.0f} there, as "
    "the register neurons of large pretrained ViTs do by themselves. Training and evaluation are "
    "real, through mmengine's Runner, on scenes drawn here.",
    width=90,
)


@dataclass(frozen=True)
class DemoRow:
    """One line of the table; the fraction in 0..1, the score as the task's metric has it."""

    seed: int
    model: str
    outlier_fraction: float
    largest_norm: float
    score: float


def run_demo(
    out: Path,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    task: str = "segmentation",
    iterations: int | None = None,
    num_train: int = 160,
    num_val: int = 60,
    log: Callable[[str], object] = str,
) -> list[DemoRow]:
    """Draw scenes, plant, evaluate three models per seed, and write everything into `out`.

    Args:
        out: folder for scenes/, weights/, runs/ and, named by the task, the table as .txt and
            .json and a picture.
        seeds: one random ViT, and three models, for each.
        task: one of `DEMONSTRATIONS`.
        iterations: training steps per head instead of the config's.
        num_train: number of training scenes.
        num_val: number of validation scenes.
        log: called with one line of progress at a time; by default they are dropped.

    Returns:
        Three rows per seed: before planting, planted, planted with a test-time register.

    Raises:
        InputError: no seed, a repeated or negative one; an unknown task.
    """
    if task not in DEMONSTRATIONS:
        raise InputError(unknown_name("task", task, DEMONSTRATIONS))
    chosen = DEMONSTRATIONS[task]
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(f"seeds: expected different integers from 0 on, got {list(seeds)}")
    start = time.perf_counter()
    log(NOTICE)
    scenes = write_scenes(out / "scenes", num_train=num_train, num_val=num_val, size=SIZE, seed=0)
    log(f"drew {num_train} training and {num_val} validation scenes of {SIZE} px: {scenes}")
    rows: list[DemoRow] = []
    with _one_thread():
        for seed in seeds:
            results = _run_three(chosen, out, scenes, seed, iterations, log)
            rows += [_row(seed, name, result) for name, result in results.items()]
            if seed == seeds[0]:
                save_picture(out / f"{task}.png", scenes, results, chosen.panel)
    table = format_table(rows, chosen)
    numbers = {"task": task, "metric": chosen.metric.key, "rows": [asdict(row) for row in rows]}
    (out / f"{task}.txt").write_text(f"{NOTICE}\n\n{table}\n", encoding="utf-8")
    (out / f"{task}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    log(f"\n{table}\n")
    log(f"picture: {out / f'{task}.png'}   numbers: {out / f'{task}.json'}")
    log(f"the whole demo took {time.perf_counter() - start:.0f} s")
    return rows


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch on one core: tensors this small gain little from two.

    On a machine that does something else too, OpenMP's threads wait for one another, which made
    the demo up to ten times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def format_table(rows: Sequence[DemoRow], task: Demonstration) -> str:
    """Lay out all rows, the mean over the seeds first."""
    seeds = list(dict.fromkeys(row.seed for row in rows))
    names = list(dict.fromkeys(row.model for row in rows))
    cells = [["", "outlier patches", "largest norm", task.metric.name]]
    for name in names:
        of_model = [row for row in rows if row.model == name]
        fraction = mean(row.outlier_fraction for row in of_model)
        largest = max(row.largest_norm for row in of_model)
        score = mean(row.score for row in of_model)
        cells.append(_cells(name, fraction, largest, score, task.decimals))
    cells += [
        _cells(row.model, row.outlier_fraction, row.largest_norm, row.score, task.decimals)
        for seed in seeds
        for row in rows
        if row.seed == seed
    ]
    heading, *laid_out = aligned(cells, "lrrr")
    lines = [heading]
    titles = [f"{len(seeds)} seeds (means; of the norms the largest)"]
    titles += [f"seed {seed}" for seed in seeds]
    for start, title in zip(range(0, len(laid_out), len(names)), titles, strict=True):
        lines += [title, *laid_out[start : start + len(names)]]
    lines.append(
        f"An outlier patch has a norm above {OUTLIER_NORM:.0f} at the last block. {task.unit}."
    )
    return "\n".join(lines)


def _cells(name: str, fraction: float, norm: float, score: float, decimals: int) -> list[str]:
    return [f"  {name}", f"{100 * fraction:.2f} %", f"{norm:.1f}", f"{score:.{decimals}f}"]


def _run_three(
    task: Demonstration,
    out: Path,
    scenes: Path,
    seed: int,
    iterations: int | None,
    log: Callable[[str], object],
) -> dict[str, DemoResult]:
    """Make the two models of a seed; evaluate both, and the second with a register too."""
    vit = build_vit(seed)
    planted, _ = plant_register_neurons(vit, _calibration_images(scenes), fraction=FRACTION)
    (out / "weights").mkdir(exist_ok=True)
    files = {
        key: out / "weights" / f"seed{seed}_{key}.safetensors" for key in ("before", "planted")
    }
    save_file(vit.state_dict(), files["before"])
    save_file(planted.state_dict(), files["planted"])
    results = {}
    for name, key, config in (
        (BEFORE, "before", task.config),
        (PLANTED, "planted", task.config),
        (REGISTER, "planted", task.ttr_config),
    ):
        result = run_model(
            config,
            task,
            scenes=scenes,
            weights=files[key],
            work_dir=out / "runs" / f"{config}_seed{seed}_{key}",
            seed=seed,
            iterations=iterations,
        )
        score = f"{task.metric.name} {result.score:.{task.decimals}f}"
        log(f"seed {seed} / {name}: {score} ({result.seconds:.1f} s)")
        results[name] = result
    return results


def _calibration_images(scenes: Path) -> torch.Tensor:
    """Read the first training images, normalised as the model wants them, [B, 3, H, W]."""
    files = sorted((scenes / "images" / "train").glob("*.png"))[:64]
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def _row(seed: int, name: str, result: DemoResult) -> DemoRow:
    outliers = (result.norms > OUTLIER_NORM).float().mean()
    return DemoRow(seed, name, float(outliers), float(result.norms.max()), result.score)
