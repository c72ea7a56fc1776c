"""A depth head's file in another config, and the advice that it gets."""

import pytest
import torch


def linear(channels=768, bins=256, **more):
    return {
        "decode_head.conv_depth.weight": torch.ones(bins, channels, 1, 1),
        "decode_head.conv_depth.bias": torch.ones(bins),
        **more,
    }


def dpt(width=384):
    name = "decode_head.reassemble_blocks.readout_projects.0.0"
    return {
        "decode_head.conv_depth.head.0.weight": torch.ones(128, 256, 3, 3),
        f"{name}.weight": torch.ones(width, 2 * width),
        f"{name}.bias": torch.ones(width),
    }


SEGMENTATION = {"decode_head.conv_seg.weight": torch.ones(150, 384, 1, 1)}
COUNTER = {"decode_head.loss_decode.0.warm_up_calls": torch.tensor(7)}


@pytest.mark.parametrize(
    ("state", "needed"), [(linear(), linear(**COUNTER)), (linear(**COUNTER), linear())]
)
def test_the_counter_of_the_loss_is_no_part_of_the_head(check, state, needed):
    assert check(needed, state) == []


@pytest.mark.parametrize(
    ("state", "needed", "advice"),
    [
        (linear(3072), linear(768), "a lin.4 head over four blocks: take the _lin4_ config"),
        (linear(768), linear(3072), "a lin.1 head over one block: take the _lin1_ config"),
        (linear(1536), linear(768), "reads 1536 channels and the config's 768: take the config of"),
        (linear(bins=64), linear(), "64 depth bins and the config 256: set model.decode_head.n_b"),
        (dpt(), linear(), "DPT depth head and the config has a linear depth head: take a dpt c"),
        (linear(), dpt(), "linear depth head and the config has a DPT depth head: take a lin1 or "),
        (SEGMENTATION, linear(), "segmentation head and the config has a linear depth head"),
        (linear(), SEGMENTATION, "linear depth head and the config has a segmentation head"),
        (dpt(), dpt(768), "reads 768 channels and the config's 1536: take the config of the backb"),
        ({"cls_token": torch.ones(1)}, linear(), "or decode_head.conv_depth.* (depth)"),
    ],
)
def test_advice(message, state, needed, advice):
    assert advice in message(state, needed)
