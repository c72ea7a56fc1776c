"""Lines of a table with known numbers."""

import pytest

from ttr_backbones.compare.plan import TableRow
from ttr_backbones.compare.published import Published
from ttr_backbones.compare.summary import Line
from ttr_backbones.tasks import TASKS


@pytest.fixture
def lines():
    """Three tasks: a mean of three seeds, one that failed, one without a seed."""
    names = ("segmentation", "depth", "object discovery")
    seg, depth, boxes = (TASKS[name].metric for name in names)
    paper = Published("47.60 ± 0.15", "TTR paper, Table 13")
    return [
        Line(TableRow("a", "ViT-S", "linear, ADE", "none", seg, None), (40.0, 42.0, 44.0), 3, True),
        Line(TableRow("a", "ViT-S", "linear, ADE", "test_time", seg, paper), (50.0, 50.5), 3, True),
        Line(TableRow("b", "ViT-S", "linear, NYU", "none", depth, None), (), 3, True),
        Line(TableRow("c", "ViT|S", "LOST, VOC", "trained", boxes, None), (61.25,), 1, False),
    ]
