import random

import numpy as np
import pytest
import torch

from ttr_backbones.engine import Draw, ResumableInfiniteSampler, SeedSample
from ttr_backbones.errors import InputError


class Augmented(torch.utils.data.Dataset):
    """Each sample is two random numbers, as an augmentation would draw them."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        SeedSample()({"sample_idx": index})
        return torch.tensor([np.random.rand(), random.random()], dtype=torch.float64)  # noqa: NPY002


def batches(count, workers=0, start=0):
    data = Augmented()
    sampler = ResumableInfiniteSampler(data, seed=1)
    sampler.start = start * 2
    loader = torch.utils.data.DataLoader(data, 2, sampler=sampler, num_workers=workers)
    iterator = iter(loader)
    return torch.stack([next(iterator) for _ in range(count)])


def test_augmentations__do_not_depend_on_workers_or_resume():
    whole = batches(8)
    assert torch.equal(batches(8, workers=2), whole)
    assert torch.equal(batches(3, start=5), whole[5:])


def test_augmentations__differ_from_draw_to_draw():
    assert batches(8).unique().numel() == 8 * 2 * 2


def test_seed_sample__repeats_for_equal_draws_only():
    def drawn(number, seed):
        SeedSample()({"sample_idx": Draw(0, number, seed)})
        return np.random.rand()  # noqa: NPY002

    assert drawn(3, 1) == drawn(3, 1)
    assert len({drawn(3, 1), drawn(4, 1), drawn(3, 2), drawn(1, 3)}) == 4


@pytest.mark.parametrize("results", [{"sample_idx": 4}, {}])
def test_seed_sample__needs_the_sampler(results):
    with pytest.raises(InputError, match=r"expected a numbered draw.*ResumableInfiniteSampler"):
        SeedSample()(results)
