"""Sharing the images of a search among the processes of a distributed job.

Every process reads and runs its own batches, keeps sums, and the sums are added up. So all of them
know the same numbers, to the bit, and decide alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from ttr_backbones.images.batches import ImageBatches


def process_batches(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Give this process's batches: all of them, or in a distributed job every world-size-th.

    All processes have to come to the end, where they tell each other which files cannot be used:
    the next pass deals out the others.
    """
    if not _is_shared():
        yield from batches
        return
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    if isinstance(batches, ImageBatches):
        yield from batches.every(world_size, rank)
        bad: list[Any] = [None] * world_size
        distributed.all_gather_object(bad, batches.bad)
        batches.bad[:] = sorted({file for of_process in bad for file in of_process})
    else:
        yield from (batch for index, batch in enumerate(batches) if index % world_size == rank)


def numbered_process_batches(batches: Iterable[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Give `process_batches` with the number of images, of all processes, that come before each."""
    rank, world_size = 0, 1
    if _is_shared():
        rank, world_size = distributed.get_rank(), distributed.get_world_size()
    done = 0
    for number, batch in enumerate(process_batches(batches)):
        if world_size > 1:
            done = (number * world_size + rank) * getattr(batches, "batch_size", len(batch))
        yield done, batch
        done += len(batch)


def add_up(tensors: Sequence[Tensor], device: torch.device | str) -> None:
    """Add the tensors of all processes, in place; `device` is the one that they compute on."""
    if _is_shared():
        for tensor in tensors:
            of_all = tensor.to(device)
            distributed.all_reduce(of_all)
            tensor.copy_(of_all)


def gather_rows(rows: Tensor) -> Tensor:
    """Put the rows [n, ...] of all processes together on the CPU: [N, ...], the same for all.

    The order is that of the processes, and the same for every call after one pass over the images.
    """
    rows = rows.cpu()
    if not _is_shared():
        return rows
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, rows)
    return torch.cat([part for part in parts if len(part)] or parts[:1])


def _is_shared() -> bool:
    return distributed.is_available() and distributed.is_initialized()
