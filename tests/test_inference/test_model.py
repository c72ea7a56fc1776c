"""Names and colours of classes; configs and checkpoints are tested with the `Inferencer`."""

import numpy as np
import pytest
from mmengine.config import Config

from ttr_backbones.errors import InputError
from ttr_backbones.inference.model import classes_and_palette, test_dataset

ADE = {"type": "ADE20KDataset", "pipeline": []}
test_dataset.__test__ = False  # pytest would take it for a test


def test_classes__of_the_data_set_or_numbers():
    names, palette = classes_and_palette(ADE, 150)
    assert (names[0], names[7], palette.shape) == ("wall", "bed", (150, 3))
    own = ADE | {"metainfo": {"classes": ("a", "b"), "palette": [[1, 2, 3], [4, 5, 6]]}}
    names, palette = classes_and_palette(own, 2)
    assert (names, palette.tolist()) == (("a", "b"), [[1, 2, 3], [4, 5, 6]])
    names, palette = classes_and_palette(own, 2, ("c", "d"))
    assert (names, palette.tolist()) == (("c", "d"), [[1, 2, 3], [4, 5, 6]]), "the model's names"
    names, palette = classes_and_palette(ADE, 3)
    assert names == ("class 0", "class 1", "class 2")
    assert len(np.unique(palette, axis=0)) == 3


def test_dataset__is_found_inside_wrappers():
    cfg = Config({"test_dataloader": {"dataset": {"type": "RepeatDataset", "dataset": ADE}}})
    assert test_dataset(cfg)["type"] == "ADE20KDataset"
    with pytest.raises(InputError, match=r"no test_dataloader\.dataset\.pipeline"):
        test_dataset(Config({}))
