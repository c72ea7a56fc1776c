from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from ttr_backbones.engine.plain_data import (
    NotPlainError,
    history_from_plain,
    history_to_plain,
    to_plain,
)


def test_to_plain__loads_with_weights_only(tmp_path):
    value = OrderedDict(score=np.float64(0.5), count=np.int64(3), deep=[(np.arange(3), None), "a"])
    torch.save(to_plain(value), tmp_path / "plain.pth")
    loaded = torch.load(tmp_path / "plain.pth", weights_only=True)
    assert (loaded["score"], loaded["count"]) == (0.5, 3)
    assert loaded["deep"][0][0].tolist() == [0, 1, 2]
    assert loaded["deep"][0][1] is None


@pytest.mark.parametrize("value", [Path("a"), [{"deep": {1}}], torch.nn.Identity()])
def test_to_plain__refuses_the_rest(value):
    with pytest.raises(NotPlainError):
        to_plain(value)


def test_history__comes_back():
    buffer = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 2], max_length=7)
    again = history_from_plain(history_to_plain(buffer))
    assert again.max_length == 7
    assert again.mean() == buffer.mean() == (1 + 2 + 4) / (1 + 1 + 2)
    assert again.current() == 4


def test_history__keeps_the_latest_thousand():
    plain = history_to_plain(HistoryBuffer(range(1500), [1] * 1500))
    assert plain["values"].tolist() == list(range(500, 1500))
