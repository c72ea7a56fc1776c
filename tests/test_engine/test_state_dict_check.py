"""Every way in which a file does not fit, with the advice that it gets."""

import torch


def head(channels=8, classes=21):
    return {
        "decode_head.bn.weight": torch.ones(channels),
        "decode_head.bn.num_batches_tracked": torch.tensor(0),
        "decode_head.conv_seg.weight": torch.ones(classes, channels, 1, 1),
        "decode_head.conv_seg.bias": torch.ones(classes),
    }


def test_fit__equal_names_and_shapes(check):
    assert check(head(), head()) == []


def test_fit__a_missing_batch_counter_is_no_matter(check):
    state = head()
    del state["decode_head.bn.num_batches_tracked"]
    assert check(head(), state) == []


def test_fit__a_frozen_backbone_in_a_complete_file_is_left_aside(check):
    state = head() | {"backbone.vit.cls_token": torch.ones(1)}
    assert check(head(), state) == ["backbone.vit.cls_token"]


def test_ms_head_in_a_linear_config(message):
    text = message(head(channels=32), head(channels=8))
    assert text.startswith("the checkpoint a.pth does not fit the model of this config.")
    assert "conv_seg.weight: the file holds [21, 32, 1, 1], the model needs [21, 8, 1, 1]" in text
    assert "multi-scale (ms) head over four maps: take the _ms config" in text


def test_linear_head_in_an_ms_config(message):
    assert "take the config without _ms" in message(head(channels=8), head(channels=32))


def test_head_of_another_backbone(message):
    text = message(head(channels=12), head(channels=8))
    assert "the file's head reads 12 channels and the config's 8" in text


def test_head_of_another_data_set(message):
    text = message(head(classes=150), head(classes=21))
    assert "the file predicts 150 classes and the config 21" in text


def test_missing_tensor(message):
    state = head()
    del state["decode_head.conv_seg.bias"]
    assert "and the file lacks: decode_head.conv_seg.bias" in message(state, head())


def test_extra_tensor(message):
    state = head() | {"auxiliary_head.conv_seg.bias": torch.ones(21)}
    text = message(state, head())
    assert "no place for: auxiliary_head.conv_seg.bias" in text
    assert "the file comes from a larger model" in text


def test_backbone_file_in_place_of_a_head(message):
    text = message({"cls_token": torch.ones(1), "blocks.0.norm1.weight": torch.ones(8)}, head())
    assert "a backbone's own weights go to model.backbone.checkpoint" in text


def test_head_only_file_for_a_trained_backbone(message):
    text = message(head(), head() | {"backbone.vit.cls_token": torch.ones(1)})
    assert "set model.backbone.frozen" in text
