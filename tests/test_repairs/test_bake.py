"""Baking: the mean by hand, however the images come, and a model that comes back as it came."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    RegisterNeurons,
    add_test_time_registers,
    bake_registers,
    has_test_time_registers,
)

LAYERS = {1: [3, 7], 2: [11]}
KINDS = {
    "cls": {},
    "no_cls": {"class_token": False, "global_pool": "avg"},
    "reg4": {"reg_tokens": 4},
    "qk_norm": {"qk_norm": True},
}


@pytest.fixture
def images():
    return torch.randn(7, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num", [1, 2])
@torch.no_grad()
def test_the_mean_over_images_by_hand(make_vit, images, kind, num):
    """From the block's input: norm, the whole qkv layer, the norm of the keys, the token's row."""
    vit = make_vit(**KINDS[kind])
    baked = bake_registers(vit, LAYERS, images, num=num, scale=2.0, batch_size=3)
    own = vit.num_prefix_tokens
    add_test_time_registers(vit, LAYERS, num, scale=2.0)
    inputs = {}
    for index, block in enumerate(vit.blocks):
        block.register_forward_pre_hook(lambda _, args, i=index: inputs.update({i: args[0]}))
    vit(images)
    for index, block in enumerate(vit.blocks):
        qkv = block.attn.qkv(block.norm1(inputs[index])).reshape(7, -1, 3, 2, 16)
        keys = block.attn.k_norm(qkv[:, own : own + num, 1]).mean(dim=0).transpose(0, 1)
        values = qkv[:, own : own + num, 2].mean(dim=0).transpose(0, 1)
        torch.testing.assert_close(baked.keys[index], keys, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(baked.values[index], values, rtol=1e-5, atol=1e-6)


def test_batches_streams_and_folders_of_the_same_images_give_the_same(make_vit, images):
    vit = make_vit()
    expected = bake_registers(vit, LAYERS, images)
    ways = [
        bake_registers(vit, LAYERS, images, batch_size=2),
        bake_registers(vit, LAYERS, (image for image in images)),
        bake_registers(vit, LAYERS, list(images.split(4)), batch_size=7),
        bake_registers(vit, LAYERS, [(batch, None) for batch in images.split(5)]),
    ]
    for baked in ways:
        torch.testing.assert_close(baked.keys, expected.keys, rtol=0, atol=1e-6)
        torch.testing.assert_close(baked.values, expected.values, rtol=0, atol=1e-6)
        assert baked.provenance["num_images"] == 7
    parts = [bake_registers(vit, LAYERS, part) for part in images.split([3, 4])]
    mean = (3 * parts[0].keys + 4 * parts[1].keys) / 7
    torch.testing.assert_close(mean, expected.keys, rtol=0, atol=1e-6)


def test_images_of_two_sizes_count_alike(make_vit, images):
    vit = make_vit()
    large = torch.randn(1, 3, 96, 96)
    baked = bake_registers(vit, LAYERS, [images[:1], large])
    one, two = (bake_registers(vit, LAYERS, part) for part in (images[:1], large))
    torch.testing.assert_close(baked.values, (one.values + two.values) / 2, rtol=0, atol=1e-6)


def test_the_model_comes_back_as_it_came(make_vit, images):
    vit = make_vit().train()
    vit.blocks[0].eval()
    modes = {name: module.training for name, module in vit.named_modules()}
    state = {k: v.clone() for k, v in vit.state_dict().items()}

    def broken():
        yield images[0]
        raise OSError("the disk is gone")

    bake_registers(vit, LAYERS, images[:2])
    with pytest.raises(OSError, match="the disk is gone"):
        bake_registers(vit, LAYERS, broken())
    assert type(vit) is VisionTransformer
    assert not has_test_time_registers(vit)
    assert {name: module.training for name, module in vit.named_modules()} == modes
    assert all(torch.equal(state[k], v) for k, v in vit.state_dict().items())
    assert not any(block.attn._forward_pre_hooks for block in vit.blocks)


def test_train_mode_changes_nothing(make_vit, images):
    options = {"proj_drop_rate": 0.5, "attn_drop_rate": 0.5}
    expected = bake_registers(make_vit(**options), LAYERS, images)
    assert torch.equal(
        bake_registers(make_vit(**options).train(), LAYERS, images).keys, expected.keys
    )


def test_progress_and_provenance_are_told(make_vit, images):
    told = []
    listed = RegisterNeurons("my_vit", LAYERS, {"doubt": "found on a Sunday", "threshold": 60.0})
    baked = bake_registers(
        make_vit(),
        listed,
        images,
        peak="layer",
        scale=[0.5],
        batch_size=4,
        progress=lambda *p: told.append(p),
    )
    assert told == [(4, 7), (7, 7)]
    assert baked.model == "my_vit"
    assert baked.neurons == listed
    assert baked.neurons.provenance == listed.provenance
    kept = baked.provenance
    assert (kept["num_images"], kept["input_size"]) == (7, 64)
    assert (kept["peak"], kept["scale"]) == ("layer", [0.5])
    assert len(kept["weights_sha256"]) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 0}, "num=0: expected at least 1 register"),
        ({"num": 1.5}, "num=1.5: expected the number of registers"),
        ({"peak": "neurn"}, "unknown peak 'neurn'. Did you mean 'neuron'"),
        ({"scale": [1.0, 2.0]}, "expected one number, or 1"),
        ({"batch_size": 0}, "batch_size=0: expected a number above 0"),
        ({"neurons": {9: [1]}}, "block 9 does not exist"),
        ({"images": torch.randn(2, 3, 60, 60)}, "size 60 is no multiple"),
        ({"images": []}, "there are no images"),
    ],
)
def test_bad_options_are_explained(make_vit, images, options, message):
    vit = make_vit()
    given = {"neurons": LAYERS, "images": images} | options
    with pytest.raises(InputError, match=message):
        bake_registers(vit, given.pop("neurons"), given.pop("images"), **given)
    assert not has_test_time_registers(vit)


def test_features_that_are_not_finite_are_named(make_vit, images):
    vit = make_vit()
    vit.blocks[0].attn.qkv.weight.data[32:] = 1e38
    # Which of the two is seen first depends on the machine: how far its sums overflow.
    expected = "keys: expected finite numbers|NaN or infinite: final features, first in image 0"
    with pytest.raises(InputError, match=expected):
        bake_registers(vit, LAYERS, images)
