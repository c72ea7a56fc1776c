"""Outside a model nothing shows test-time registers; inside they are where `split_tokens` says."""

from __future__ import annotations

import itertools

import pytest
import timm
import torch
from timm.models._features import FeatureGetterNet
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    add_test_time_registers,
    num_inner_prefix_tokens,
    register_tokens,
    remove_test_time_registers,
    split_tokens,
)

LAYERS = {1: [3, 7], 2: [11]}
KINDS = {
    "cls": {},
    "embedded_registers": {"reg_tokens": 2},
    "registers": {"reg_tokens": 4, "no_embed_class": True, "pre_norm": True},
    "no_cls": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "norm_behind_the_pool": {"global_pool": "avg"},
    "max": {"global_pool": "max"},
    "attention_pool": {"global_pool": "map"},
    "pool_with_prefix": {"global_pool": "avg", "pool_include_prefix": True},
}
NUM = 2


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(2))


def sequence_by_hand(vit, image):
    """Run the model's own parts and keep the sequence after every block."""
    x = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(image))))
    return list(itertools.accumulate(vit.blocks, lambda x, block: block(x), initial=x))[1:]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_output_is_the_inner_sequence_without_the_registers(make_vit, image, kind):
    vit = add_test_time_registers(make_vit(**KINDS[kind]), LAYERS, num=NUM)
    own, shapes = vit.num_prefix_tokens, []
    for sequence in (inside := sequence_by_hand(vit, image)):
        assert sequence.shape[1] == num_inner_prefix_tokens(vit) + 12 == own + NUM + 12
    outside = [torch.cat([x[:, :own], x[:, own + NUM :]], dim=1) for x in inside]
    final = vit.norm(outside[-1])
    assert torch.equal(vit.forward_features(image), final)
    assert torch.equal(vit(image), vit.forward_head(final))
    assert torch.equal(vit.get_intermediate_layers(image, [3])[0], outside[-1][:, own:])
    choices = itertools.product((False, True), repeat=5)
    for norm, prefix, only, early, as_dict in choices:
        options = {"norm": norm, "return_prefix_tokens": prefix, "stop_early": early}
        options |= {"intermediates_only": only, "output_dict": as_dict}
        for indices, output_fmt in (([0, 2], "NLC"), (2, "NCHW")):
            options |= {"indices": indices, "output_fmt": output_fmt}
            given = vit.forward_intermediates(image, **options)
            shapes.append((options.copy(), shape_of(given)))
            maps = given["image_intermediates"] if as_dict else given if only else given[1]
            first = maps[0][0] if prefix and own and not as_dict else maps[0]
            if output_fmt == "NCHW":
                first = first.flatten(2).transpose(1, 2)
            expected = outside[0 if output_fmt == "NLC" else 2]
            assert torch.equal(first, (vit.norm(expected) if norm else expected)[:, own:])
    remove_test_time_registers(vit)
    for options, shape in shapes:
        assert shape_of(vit.forward_intermediates(image, **options)) == shape, options


def shape_of(given):
    """The nesting of an output, with shapes for tensors."""
    if isinstance(given, torch.Tensor):
        return given.shape
    if isinstance(given, dict):
        return {name: shape_of(part) for name, part in given.items()}
    return type(given), [shape_of(part) for part in given]


@torch.no_grad()
def test_what_users_cut_out_is_patches(make_vit, image):
    vit = make_vit()
    before = vit.forward_features(image)
    add_test_time_registers(vit, LAYERS, num=NUM)
    after = vit.forward_features(image)
    assert after.shape == before.shape
    patches = vit.get_intermediate_layers(image, 1, norm=True)[0]
    assert torch.equal(after[:, 1:], patches)
    assert torch.equal(after[:, vit.num_prefix_tokens :], patches)
    grid = after[:, 1:].transpose(1, 2).unflatten(2, (4, 3))
    assert torch.equal(grid, vit.get_intermediate_layers(image, 1, reshape=True, norm=True)[0])
    vit.norm = nn.Identity()
    assert torch.equal(vit.forward_features(image)[:, 1:], vit.get_intermediate_layers(image, 1)[0])
    vit.reset_classifier(7, "avg")
    assert torch.equal(
        vit(image), vit.head(vit.fc_norm(vit.forward_features(image)[:, 1:].mean(1)))
    )
    with pytest.raises(InputError, match="unknown output_fmt 'NHWC'"):
        vit.forward_intermediates(image, output_fmt="NHWC")


@torch.no_grad()
def test_register_tokens_are_what_is_left_out(make_vit, image):
    vit = make_vit(reg_tokens=2)
    with pytest.raises(InputError, match="no test-time register tokens: add_test_time_registers"):
        register_tokens(vit, image)
    add_test_time_registers(vit, LAYERS, num=NUM)
    inside = sequence_by_hand(vit, image)
    assert torch.equal(register_tokens(vit, image), vit.norm(inside[-1][:, 3 : 3 + NUM]))
    raw = register_tokens(vit, image, block=1, norm=False)
    assert torch.equal(raw, inside[1][:, 3 : 3 + NUM])
    assert torch.equal(raw, split_tokens(vit, inside[1]).registers)


@torch.no_grad()
def test_timms_and_torchvisions_wrappers(make_vit, image):
    net = timm.create_model(
        "vit_tiny_patch16_224", features_only=True, out_indices=[1, 3], img_size=(64, 48), depth=5
    )
    before = net(image)
    add_test_time_registers(net.model, {1: [3]})
    assert [one.shape for one in net(image)] == [one.shape for one in before]
    wrapped = FeatureGetterNet(add_test_time_registers(make_vit(), LAYERS), out_indices=[1, 2])
    assert [one.shape for one in wrapped(image)] == [(2, 32, 4, 3)] * 2
    vit = add_test_time_registers(make_vit(dynamic_img_size=False, img_size=(64, 48)), LAYERS)
    traced = create_feature_extractor(vit, ["blocks.2", "head"])(image)
    torch.testing.assert_close(traced["head"], vit(image))
    patches = vit.get_intermediate_layers(image, [2])[0]
    torch.testing.assert_close(split_tokens(vit, traced["blocks.2"]).patches, patches)


@torch.no_grad()
def test_a_mask_is_of_the_callers_tokens_and_hides_no_register(make_vit, image):
    vit = add_test_time_registers(make_vit(), LAYERS, num=NUM)
    free = torch.ones(13, 13, dtype=torch.bool)
    for mask in (free, torch.zeros(13, 13), free[None, None, :1], free.expand(2, 1, 13, 13)):
        torch.testing.assert_close(vit(image, attn_mask=mask), vit(image), rtol=1e-4, atol=1e-5)
    hidden = free.clone()
    hidden[:, 5] = False
    changed = image.clone()
    changed[:, :, 16:32, 16:32] += 1  # patch 4, token 5: only itself may see it, and the register
    add = torch.zeros(13, 13).masked_fill(~hidden, -torch.inf)
    torch.testing.assert_close(vit(image, attn_mask=hidden), vit(image, attn_mask=add))
    layers = vit.forward_intermediates(image, attn_mask=hidden, intermediates_only=True)
    assert layers[0].shape == (2, 32, 4, 3)
    first = vit.forward_intermediates(changed, attn_mask=hidden, intermediates_only=True)[0]
    rest = torch.ones(4, 3, dtype=torch.bool)
    rest[1, 1] = False
    torch.testing.assert_close(first[:, :, rest], layers[0][:, :, rest])


def test_gradient_checkpointing_gives_the_same(make_vit, image):
    vit = add_test_time_registers(make_vit(), LAYERS)
    expected = vit(image)
    vit.set_grad_checkpointing()
    torch.testing.assert_close(vit(image), expected)
    assert vit.forward_intermediates(image, [1])[0].shape == (2, 13, 32)
