"""An endless sampler that can start anywhere, and the numbered indices it draws."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from ttr_backbones.errors import InputError


class Draw(int):
    """A dataset index that knows which draw of which run it is.

    It passes wherever an index passes, also into worker processes. Subtraction and modulo, which
    mmengine's ConcatDataset and RepeatDataset use to find their inner index, keep the number.

    Args:
        index: The index into the dataset.
        number: The draw's place in the run's one global order of draws, over all processes.
        seed: The sampler's seed.
    """

    number: int
    seed: int

    def __new__(cls, index: int, number: int, seed: int) -> Draw:
        """Attach `number` and `seed` to `index`."""
        draw = super().__new__(cls, index)
        draw.number = number
        draw.seed = seed
        return draw

    def __getnewargs__(self) -> tuple[int, int, int]:  # type: ignore[override]
        return int(self), self.number, self.seed

    def __sub__(self, other: int) -> Draw:
        return Draw(int(self) - other, self.number, self.seed)

    def __mod__(self, other: int) -> Draw:
        return Draw(int(self) % other, self.number, self.seed)


@DATA_SAMPLERS.register_module()
class ResumableInfiniteSampler(Sampler[Draw]):
    """Draws indices for ever, sharded over the processes, from any point on at no cost.

    Every pass over the data set has its own order, computed from the seed and the number of the
    pass alone; so skipping is arithmetic, and no data is loaded for what was already trained on.

    Args:
        dataset: The data set to index.
        shuffle: Draw each pass in a random order.
        seed: The same in all processes; None takes one that they agree on.

    Attributes:
        start: How many draws of each process the next iterator leaves out.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        if self.size == 0:
            raise InputError(
                "the training data set is empty: expected at least one image. Check data_root, "
                "data_prefix, ann_file and img_suffix of train_dataloader.dataset."
            )
        self.shuffle = shuffle
        self.seed: int = sync_random_seed() if seed is None else seed
        self.start = 0

    def __iter__(self) -> Iterator[Draw]:
        first = self.start * self.world_size + self.rank
        current_pass, order = -1, np.arange(self.size)
        for number in itertools.count(first, self.world_size):
            this_pass, place = divmod(number, self.size)
            if self.shuffle and this_pass != current_pass:
                order = np.random.default_rng([self.seed, this_pass]).permutation(self.size)
                current_pass = this_pass
            yield Draw(int(order[place]), number, self.seed)

    def __len__(self) -> int:
        """Return the size of the data set: the iterator itself never ends."""
        return self.size

    def set_epoch(self, epoch: Any) -> None:
        """Do nothing; mmengine's hooks call it on every sampler."""
