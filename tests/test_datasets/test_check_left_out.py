"""Images that a data set passes over are named before a run, each data set once."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import RepeatDataset
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from ttr_backbones.datasets import CheckLeftOut


@pytest.fixture
def dataset(tmp_path):
    """Two samples, a photograph whose suffix is in capitals, and one without a mask."""
    init_default_scope("mmseg")
    for kind, names in {"images": ("a.jpg", "b.jpg", "c.JPG"), "masks": ("a.png", "b.png")}.items():
        (tmp_path / kind).mkdir()
        for name in names:
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / kind / name)
    return BaseSegDataset(
        data_root=str(tmp_path),
        data_prefix={"img_path": "images", "seg_map_path": "masks"},
        pipeline=[],
    )


def test_left_out__is_told_once_and_inside_a_wrapper(dataset, caplog):
    logger = logging.getLogger("left out")
    loader = SimpleNamespace(dataset=RepeatDataset(dataset, 3))
    runner = SimpleNamespace(rank=0, logger=logger, train_dataloader=loader, val_dataloader=loader)
    hook = CheckLeftOut()
    with caplog.at_level(logging.WARNING, logger.name):
        hook.before_train(runner)
        hook.before_val(runner)
    (message,) = caplog.messages
    assert message.startswith("1 of 3 files in ")
    assert "(img_path) are in no sample: c.JPG. Expected names that end in '.jpg'" in message
