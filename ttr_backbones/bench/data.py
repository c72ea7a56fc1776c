"""`ttrb bench data`: how fast a config's training images come, and whether the backbone waits."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.utils.data import DataLoader

from ttr_backbones.bench.rounds import Tell, measure, silent
from ttr_backbones.bench.row import Contestant, Measured, Row
from ttr_backbones.errors import InputError

BACKBONE = "backbone's forward"
_BATCHES = 12  # in one timing
_SAMPLES = 16  # through the pipeline step by step


def bench_data(
    cfg: Config,
    *,
    source: str = "",
    workers: Sequence[int] = (0, 1, 2, 4),
    rounds: int = 5,
    device: torch.device | None = None,
    tell: Tell = silent,
) -> Measured:
    """Time the loader of `train_dataloader` with several numbers of worker processes.

    Args:
        cfg: a complete config; its backbone runs with random weights and without registers.
        source: where the images are from, to be told.
        workers: numbers of processes; 0 loads in this one.
        rounds: medians are over these.
        device: for the backbone; the CPU by default.
        tell: gets a line about what is going on.

    Raises:
        InputError: no number of workers, a negative one, or no training data in the config.
    """
    if not workers or min(workers) < 0:
        raise InputError(f"workers={list(workers)}: expected numbers of processes, 0 or more")
    loader_cfg = cfg.get("train_dataloader")
    if loader_cfg is None:
        raise InputError(f"{cfg.filename}: expected a config that trains (train_dataloader)")
    device = device or torch.device("cpu")
    init_default_scope(cfg.get("default_scope") or "mmseg")
    loaders = {count: _loader(loader_cfg, count) for count in dict.fromkeys(workers)}
    first = next(iter(loaders.values()))
    batch_size = int(loader_cfg.batch_size)
    tell("data: one transform after another")
    shares, each = _transforms(first)
    contestants = [_loading(loader, count, batch_size) for count, loader in loaders.items()]
    contestants.append(_forward(cfg, first, batch_size, device))
    rows = measure("data", contestants, device, rounds=rounds, tell=tell)
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    notes = [f"data: one image takes {1e3 * each:.1f} ms: {told}", _keeps_up(rows, list(loaders))]
    dataset: Any = first.dataset
    setting = {
        "config": Path(cfg.filename or "").stem,
        "images": f"{len(dataset)} {source}".strip(),
        "rounds": rounds,
    }
    facts = {"seconds_per_image": each, "share_of_transform": shares}
    return Measured("data", setting, rows, notes, facts)


def _loader(loader_cfg: Any, workers: int) -> DataLoader[Any]:
    """Build the loader as a Runner does, with another number of workers."""
    own = copy.deepcopy(loader_cfg)
    own.num_workers, own.persistent_workers = workers, workers > 0
    if not workers:
        own.pop("prefetch_factor", None)  # torch refuses it without workers
    return Runner.build_dataloader(own, seed=0)


def _loading(loader: DataLoader[Any], workers: int, batch_size: int) -> Contestant:
    batches = _for_ever(loader)
    waiting = workers * (loader.prefetch_factor or 0)
    return Contestant(
        f"{workers} workers" if workers != 1 else "1 worker",
        partial(_take, batches, _BATCHES),
        images=_BATCHES * batch_size,
        batch_size=batch_size,
        variant="",
        # What was loaded while others had their turn costs nothing, and counts for nothing.
        prepare=partial(_take, batches, waiting),
    )


def _for_ever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _take(batches: Iterator[Any], count: int) -> None:
    for _ in itertools.islice(batches, count):
        pass


def _forward(
    cfg: Config, loader: DataLoader[Any], batch_size: int, device: torch.device
) -> Contestant:
    """The backbone on images of the size that the loader gives."""
    inputs: Any = next(iter(loader))["inputs"]
    one = inputs[0].float()
    images = one.expand(batch_size, *one.shape).contiguous().to(device)
    changed = {"pretrained": False, "checkpoint": None, "repair": None}
    own = cfg.model.backbone
    backbone = MODELS.build({**own, **{key: changed[key] for key in changed if key in own}})
    backbone.to(device).eval()

    @torch.no_grad()
    def forward() -> None:
        backbone(images)

    return Contestant(BACKBONE, forward, images=batch_size, batch_size=batch_size)


def _transforms(loader: DataLoader[Any]) -> tuple[dict[str, float], float]:
    """Time each transform of the pipeline in this process.

    Returns:
        {name: share of the time}, and the seconds that one image takes.
    """
    dataset: Any = loader.dataset
    while hasattr(dataset, "dataset"):  # RepeatDataset and the like
        dataset = dataset.dataset
    taken: dict[str, float] = {}
    draws: Any = loader.sampler
    for index in itertools.islice(itertools.chain.from_iterable(itertools.repeat(draws)), _SAMPLES):
        data = dataset.get_data_info(index)
        for transform in dataset.pipeline.transforms:
            name = type(transform).__name__
            start = time.perf_counter()
            data = transform(data)
            taken[name] = taken.get(name, 0.0) + time.perf_counter() - start
    total = sum(taken.values())
    return {name: seconds / total for name, seconds in taken.items()}, total / _SAMPLES


def _keeps_up(rows: Sequence[Row], workers: Sequence[int]) -> str:
    *loading, forward = rows
    needed = forward.images_per_second
    enough = [
        count
        for count, row in zip(workers, loading, strict=True)
        if row.images_per_second >= needed
    ]
    if enough:
        return (
            f"data: loading with {min(enough)} workers keeps up with the backbone's "
            f"{needed:.1f} images/s"
        )
    return f"data: the backbone, at {needed:.1f} images/s, waits for its images"
