"""The loop as a whole is tested by killing real runs, in test_cli/test_train.py."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader

from ttr_backbones.engine import ResumableTrainLoop
from ttr_backbones.errors import InputError


def test_loop__needs_the_sampler():
    loader = DataLoader(range(4), sampler=DefaultSampler(range(4), seed=0))
    runner = SimpleNamespace(visualizer=SimpleNamespace())
    with pytest.raises(InputError, match=r"ResumableInfiniteSampler.*got DefaultSampler"):
        ResumableTrainLoop(runner, loader, max_iters=4)
