"""Reading images in threads, a bounded number of them ahead of the model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")

THREADS = min(8, os.cpu_count() or 1)  # decoders and resizing run without Python's lock


def read_ahead(
    read: Callable[[Item], Read], items: Iterable[Item], *, threads: int = THREADS
) -> Iterator[Read]:
    """Yield `read(item)` in the order of `items`; at most two per thread are waiting."""
    left = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        waiting = deque(pool.submit(read, item) for item in islice(left, 2 * threads))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(left, 1))
            yield done
    finally:
        pool.shutdown(cancel_futures=True)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
