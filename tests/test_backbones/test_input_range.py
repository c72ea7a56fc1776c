"""A backbone in a plain mmseg model says that its images were normalised for another one."""

import logging

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ttr_backbones.backbones.input_range import range_problem
from ttr_backbones.engine.normalization import end_range_check, normalization_problem

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
HALF = {"mean": [127.5] * 3, "std": [127.5] * 3}


def segmentor(preprocessor):
    """mmseg's own model on a backbone that was trained with mean and std 0.5."""
    init_default_scope("mmseg")
    return MODELS.build(
        {
            "type": "EncoderDecoder",
            "data_preprocessor": {
                "type": "SegDataPreProcessor",
                "bgr_to_rgb": True,
                **preprocessor,
            },
            "backbone": {"type": "TimmViT", "model": "vit_tiny_patch16_224"},
            "decode_head": {
                "type": "FCNHead",
                "in_channels": 192,
                "channels": 192,
                "in_index": 0,
                "num_convs": 0,
                "concat_input": False,
                "num_classes": 2,
            },
            "test_cfg": ConfigDict(mode="whole"),
        }
    ).eval()


@pytest.fixture
def warnings(monkeypatch):
    """Messages of level WARNING, as a run's logger gets them."""
    found = []
    logger = MMLogger.get_current_instance()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def test_first_images__of_another_normalisation_are_told_once(warnings):
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[:, :16] = 255
    model = segmentor(IMAGENET)
    warnings.clear()  # that the weights are random
    for _ in range(2):
        model.test_step({"inputs": [image], "data_samples": None})
    (message,) = warnings
    assert "mean [127.5, 127.5, 127.5]" in message
    assert "between [-2.12, -2.04, -1.8] and [2.25, 2.43, 2.64]" in message
    model = segmentor(HALF)
    warnings.clear()
    model.test_step({"inputs": [image], "data_samples": None})
    assert not warnings


def test_first_images__are_not_told_again_by_who_compared_mean_and_std(warnings):
    model = segmentor(IMAGENET)
    assert "data_preprocessor normalises unlike" in normalization_problem(model)
    assert not hasattr(model.backbone, "input_checked"), "asking changes nothing"
    end_range_check(model)
    warnings.clear()
    model.test_step({"inputs": [torch.full((3, 32, 32), 255)], "data_samples": None})
    assert not warnings


def test_range_problem__by_hand():
    # With mean 100 and std 50 pixels lie in [-2, 3.1]; 5 % of that are 0.255.
    mean, std = [100.0] * 3, [50.0] * 3
    images = torch.zeros(2, 3, 4, 4)
    images[1, 2, 0, 0] = 3.35
    assert range_problem(images, mean, std) is None
    images[1, 2, 0, 0] = 3.36
    assert "between [0.0, 0.0, 0.0] and [0.0, 0.0, 3.36]" in range_problem(images, mean, std)
    images[1, 2, 0, 0] = -2.26
    assert "between [0.0, 0.0, -2.26]" in range_problem(images, mean, std)
