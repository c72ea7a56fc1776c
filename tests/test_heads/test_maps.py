"""Which maps a head takes, and what it says about wrong ones."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.heads.maps import MapChoice

MAPS = [torch.zeros(1, channels, 2, 2) for channels in (3, 4, 5)]


@pytest.mark.parametrize(
    ("channels", "index", "taken"),
    [([4, 5], None, [4, 5]), (5, None, [5]), (3, 0, [3]), ([5, 3], [-1, 0], [5, 3])],
)
def test_takes_the_named_maps_or_the_last(channels, index, taken):
    assert [m.shape[1] for m in MapChoice("Head", channels, index).take(MAPS)] == taken


@pytest.mark.parametrize("index", [[0], []])
def test_one_number_of_channels_per_map(index):
    with pytest.raises(InputError, match=r"in_channels=\[3, 4\].*one number of channels per map"):
        MapChoice("Head", [3, 4], index)


@pytest.mark.parametrize("index", [3, -4])
def test_too_few_maps(index):
    with pytest.raises(InputError, match=rf"Head takes maps \[{index}\], the backbone gives 3"):
        MapChoice("Head", 3, index).take(MAPS)


def test_other_channels():
    with pytest.raises(InputError, match=r"expected maps of \[7\].*\[5\]: set in_channels=\[5\]$"):
        MapChoice("Head", 7).take(MAPS)


def test_half_the_channels_means_that_the_cls_token_is_missing():
    with pytest.raises(InputError, match="cls_token='concat'"):
        MapChoice("Head", [8, 10], [1, 2]).take(MAPS)
