"""Every way in which a file does not fit, with the advice that it gets."""

import pytest
import torch
from torch import nn

import ttr_backbones.tasks  # noqa: F401 -- registers the kinds of heads
from ttr_backbones.engine.state_dict_check import check_fit
from ttr_backbones.errors import InputError


def head(channels=8, classes=21):
    return {
        "decode_head.bn.weight": torch.ones(channels),
        "decode_head.bn.num_batches_tracked": torch.tensor(0),
        "decode_head.conv_seg.weight": torch.ones(classes, channels, 1, 1),
        "decode_head.conv_seg.bias": torch.ones(classes),
    }


class Model(nn.Module):
    """Has the state dict that it is given."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def state_dict(self):
        return self.state


def message(state, needed):
    with pytest.raises(InputError) as caught:
        check_fit(Model(needed), state, "the checkpoint a.pth")
    return str(caught.value)


def test_fit__equal_names_and_shapes():
    assert check_fit(Model(head()), head(), "a.pth") == []


def test_fit__a_missing_batch_counter_is_no_matter():
    state = head()
    del state["decode_head.bn.num_batches_tracked"]
    assert check_fit(Model(head()), state, "a.pth") == []


def test_fit__a_frozen_backbone_in_a_complete_file_is_left_aside():
    state = head() | {"backbone.vit.cls_token": torch.ones(1)}
    assert check_fit(Model(head()), state, "a.pth") == ["backbone.vit.cls_token"]


def test_ms_head_in_a_linear_config():
    text = message(head(channels=32), head(channels=8))
    assert text.startswith("the checkpoint a.pth does not fit the model of this config.")
    assert "conv_seg.weight: the file holds [21, 32, 1, 1], the model needs [21, 8, 1, 1]" in text
    assert "multi-scale (ms) head over four maps: take the _ms config" in text


def test_linear_head_in_an_ms_config():
    assert "take the config without _ms" in message(head(channels=8), head(channels=32))


def test_head_of_another_backbone():
    text = message(head(channels=12), head(channels=8))
    assert "the file's head reads 12 channels and the config's 8" in text


def test_head_of_another_data_set():
    text = message(head(classes=150), head(classes=21))
    assert "the file predicts 150 classes and the config 21" in text


def test_missing_tensor():
    state = head()
    del state["decode_head.conv_seg.bias"]
    assert "and the file lacks: decode_head.conv_seg.bias" in message(state, head())


def test_extra_tensor():
    state = head() | {"auxiliary_head.conv_seg.bias": torch.ones(21)}
    text = message(state, head())
    assert "no place for: auxiliary_head.conv_seg.bias" in text
    assert "the file comes from a larger model" in text


def test_backbone_file_in_place_of_a_head():
    text = message({"cls_token": torch.ones(1), "blocks.0.norm1.weight": torch.ones(8)}, head())
    assert "a backbone's own weights go to model.backbone.checkpoint" in text


def test_head_only_file_for_a_trained_backbone():
    text = message(head(), head() | {"backbone.vit.cls_token": torch.ones(1)})
    assert "set model.backbone.frozen" in text
