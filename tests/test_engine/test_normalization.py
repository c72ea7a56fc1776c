import pytest
from mmseg.models import SegDataPreProcessor
from torch import nn

from ttr_backbones.engine.normalization import normalization_problem

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


class Backbone(nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)


def model(backbone, **preprocessor):
    whole = nn.Module()
    whole.backbone = Backbone(**backbone)
    whole.data_preprocessor = SegDataPreProcessor(**preprocessor)
    return whole


def test_equal__is_silent():
    assert normalization_problem(model(IMAGENET, **IMAGENET)) is None


def test_backbone_without_mean__is_not_checked():
    assert normalization_problem(model({}, **IMAGENET)) is None
    assert normalization_problem(nn.Module()) is None


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_other_mean__is_reported(channel):
    half = IMAGENET | {"mean": [m + (i == channel) for i, m in enumerate(IMAGENET["mean"])]}
    problem = normalization_problem(model(IMAGENET, **half))
    assert "mean: the config has" in problem
    assert "std" not in problem.partition("Set model")[0]
    assert "[123.675, 116.28, 103.53]" in problem


def test_no_normalization__is_reported():
    assert "mean: the config has None" in normalization_problem(model(IMAGENET))
