"""timm's `Eva`: the same family as plain ViTs, with positions that turn queries and keys."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from eva_vits import KINDS
from planted_vits import bright_images, plant_unit
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    add_test_time_registers,
    find_register_neurons,
    register_tokens,
    remove_test_time_registers,
)
from ttr_backbones.repairs.bake import bake_registers
from ttr_backbones.repairs.bias import add_bias_registers
from ttr_backbones.vits.attention import cls_attention
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.pos_embed import PositionTables, positions_of
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.taps import Tap, tapped_features, tapped_maps
from ttr_backbones.vits.timm_registers import TimmRegisterTokens

LAYERS = {1: [3, 17], 2: [40]}
ALL = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def with_one_more_prefix_token(vit):
    """Give `vit` a further trained register of zeros, and edit it by hand."""
    P, C = vit.num_prefix_tokens, vit.embed_dim
    row = torch.zeros(1, 1, C)
    old = torch.zeros(1, 0, C) if vit.reg_token is None else vit.reg_token.data
    vit.reg_token = torch.nn.Parameter(torch.cat([old, row], dim=1))
    if vit.pos_embed is not None and not vit.no_embed_class:
        rows = [vit.pos_embed[:, :P], row, vit.pos_embed[:, P:]]
        vit.pos_embed = torch.nn.Parameter(torch.cat(rows, dim=1))
    vit.num_prefix_tokens = P + 1
    for block in vit.blocks:
        block.attn.num_prefix_tokens = P + 1

    def edit(units):
        def hook(_, args):
            hidden = args[0].clone()
            for image in hidden:  # [N, D]
                for unit in units:
                    values = image[:, unit]
                    peak = values[values.abs().argmax()].clone()
                    values.zero_()
                    values[P] = peak
            return (hidden,)

        return hook

    for block, units in LAYERS.items():
        vit.blocks[block].mlp.fc2.register_forward_pre_hook(edit(units))
    return vit


@ALL
@torch.no_grad()
def test_registers__equal_one_more_prefix_token_edited_by_hand(make_eva, image, kind):
    vit = make_eva(kind)
    before, P = vit.state_dict(), vit.num_prefix_tokens
    plain, scores = vit.forward_features(image), vit(image)
    by_hand = with_one_more_prefix_token(copy.deepcopy(vit))
    expected = [by_hand.forward_features(x) for x in (image, image[:, :, :48])]
    add_test_time_registers(vit, LAYERS)
    assert vit.num_prefix_tokens == P
    for x, want in zip((image, image[:, :, :48]), expected, strict=True):
        outside = torch.cat([want[:, :P], want[:, P + 1 :]], dim=1)
        got = vit.forward_features(x)
        torch.testing.assert_close(got, outside, rtol=0, atol=1e-5)
        torch.testing.assert_close(register_tokens(vit, x), want[:, P : P + 1], rtol=0, atol=1e-5)
    assert (vit.forward_features(image) - plain).abs().max() > 1e-3
    singles = torch.cat([vit(one[None]) for one in image])
    torch.testing.assert_close(vit(image), singles, rtol=0, atol=1e-5)
    remove_test_time_registers(vit)
    assert vit.state_dict().keys() == before.keys()
    assert torch.equal(vit.forward_features(image), plain)
    assert torch.equal(vit(image), scores)
    assert all(block.attn.num_prefix_tokens == P for block in vit.blocks if vit.rope is not None)


@ALL
@torch.no_grad()
def test_registers__that_no_token_sees_change_nothing(make_eva, image, kind):
    vit = make_eva(kind)
    plain, P = vit.forward_features(image), vit.num_prefix_tokens
    add_test_time_registers(vit, LAYERS, num=2, fill="same")
    seen = torch.ones(1, 1, 1, P + 2 + 24, dtype=torch.bool)
    seen[..., P : P + 2] = False
    inner = super(TimmRegisterTokens, vit).forward_features(image, attn_mask=seen)
    torch.testing.assert_close(
        torch.cat([inner[:, :P], inner[:, P + 2 :]], dim=1), plain, rtol=0, atol=1e-5
    )
    assert not torch.allclose(inner[:, P], plain[:, P])


@pytest.mark.parametrize("kind", ["dinov3", "eva02", "mixed", "pooled"])
@torch.no_grad()
def test_registers__in_a_model_for_one_size(make_eva, kind):
    vit, fixed = (make_eva(kind, dynamic_img_size=dynamic) for dynamic in (True, False))
    fixed.load_state_dict(vit.state_dict())
    image = torch.randn(2, 3, 64, 64)
    for model in (vit, fixed):
        add_test_time_registers(model, LAYERS)
    torch.testing.assert_close(fixed(image), vit(image), rtol=0, atol=1e-6)
    expected = vit.forward_intermediates(image, [1], return_prefix_tokens=True)
    given = fixed.forward_intermediates(image, [1], return_prefix_tokens=True)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)
    maps = tapped_maps(fixed, image, positions_of(fixed, (4, 4), "timm"), [Tap(1)], with_cls=False)
    assert torch.allclose(maps[0], expected[1][0][0], atol=1e-6)


@torch.no_grad()
def test_map_pooling_takes_the_prefix_and_no_register(make_eva, image):
    vit = add_test_time_registers(make_eva("pooled"), LAYERS, num=2)
    pooled = []
    vit.attn_pool.register_forward_pre_hook(lambda _, args: pooled.append(args[0]))
    embedding = vit(image)
    tokens = vit.forward_features(image)
    assert torch.equal(pooled[0], tokens)
    assert tokens.shape == (2, 1 + 24, 32)
    features = tapped_features(
        vit, image, positions_of(vit, (4, 6), "timm"), [Tap(3)], with_cls=False
    )
    torch.testing.assert_close(features.pooled, embedding)
    assert torch.equal(features.cls, tokens[:, 0])


@ALL
@torch.no_grad()
def test_block_loop__equals_forward_intermediates(make_eva, image, kind):
    vit, tables = make_eva(kind), PositionTables("timm")
    taps = [Tap(1), Tap(3, norm=True)]
    for registers in (False, True):
        if registers:
            add_test_time_registers(vit, LAYERS, num=2)
        for x, grid in ((image, (4, 6)), (image[:, :, :48], (3, 6)), (image[..., :64], (4, 4))):
            maps = tapped_maps(vit, x, tables(vit, grid), taps, with_cls=False)
            first = vit.forward_intermediates(x, [1], intermediates_only=True)
            last = vit.forward_intermediates(x, [3], norm=True, intermediates_only=True)
            assert torch.equal(maps[0], first[0])
            assert torch.equal(maps[1], last[0])


@ALL
@torch.no_grad()
def test_heads__turned_and_attended_give_what_the_block_s_attention_gives(make_eva, image, kind):
    vit = add_test_time_registers(make_eva(kind), LAYERS)
    family, seen = family_of(vit), {}
    block = vit.blocks[1]
    block.attn.register_forward_hook(lambda _, args, output: seen.update(x=args[0], y=output))
    vit(image)
    q, k, v = family.heads(block, seen["x"])
    q, k = (family.rotated(vit, 1, part, (4, 6)) for part in (q, k))
    assert q.shape == k.shape == v.shape
    weights = (q @ k.transpose(-2, -1) * family.scale(block)).softmax(dim=-1)
    y = block.attn.proj(block.attn.norm((weights @ v).transpose(1, 2).flatten(2)))
    torch.testing.assert_close(y, seen["y"], rtol=0, atol=1e-5)
    if vit.cls_token is not None:
        first = vit.num_prefix_tokens + 1
        rows = cls_attention(vit, 1, seen["x"], (4, 6))
        torch.testing.assert_close(rows, weights[:, :, 0, first:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["eva02", "normed", "mixed", "grouped"])
@torch.no_grad()
def test_facets__are_the_outputs_of_the_linear_layers_with_their_biases(make_eva, image, kind):
    vit = make_eva(kind)
    state, seen = vit.state_dict(prefix=""), {}
    vit.blocks[1].attn.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    taps = [Tap(1, facet) for facet in ("query", "key", "value")]
    maps = tapped_maps(
        vit, image, positions_of(vit, (4, 6), "timm"), [*taps, Tap(1)], with_cls=False
    )
    for i, one in enumerate(maps[:3]):
        weight, bias = weight_and_bias(state, "qkv"[i], i)
        tokens = F.linear(seen["x"], weight, bias)[:, vit.num_prefix_tokens :]
        expected = tokens.transpose(1, 2).unflatten(2, (4, 6))
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-5)


def weight_and_bias(state, letter, i, at="blocks.1.attn."):
    """Read the part of queries (0), keys (1) or values (2) from a state dict."""
    if f"{at}qkv.weight" not in state:
        return state[f"{at}{letter}_proj.weight"], state.get(f"{at}{letter}_proj.bias")
    weight = state[f"{at}qkv.weight"].chunk(3)[i]
    if f"{at}qkv.bias" in state:
        return weight, state[f"{at}qkv.bias"].chunk(3)[i]
    return weight, state.get(f"{at}{letter}_bias")  # the keys have none


@ALL
@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_constants__of_one_image_are_the_registers_of_that_image(make_eva, image, kind, fused):
    vit, image = make_eva(kind), image[:1, :, :, :64]
    for block in vit.blocks:
        block.attn.fused_attn = fused
    plain = vit(image)
    tokens = add_test_time_registers(copy.deepcopy(vit), LAYERS, num=2, scale=[1.0, 0.5])
    baked = bake_registers(vit, LAYERS, image, num=2, scale=[1.0, 0.5])
    add_bias_registers(vit, baked)
    torch.testing.assert_close(vit(image), tokens(image), rtol=0, atol=1e-5)
    assert not torch.allclose(vit(image), plain, atol=1e-3)
    if vit.cls_token is not None:
        rows = []
        for model in (vit, tokens):
            site = {Site(1, "attention"): lambda x, model=model: rows.append(rows_of(model, x))}
            with reading(model, site):
                model(image)
        torch.testing.assert_close(*rows, rtol=0, atol=1e-5)
    remove_test_time_registers(vit)
    assert torch.equal(vit(image), plain)


def rows_of(vit, x):
    return cls_attention(vit, 1, x, (4, 4))


@torch.no_grad()
def test_constants__are_multiplied_by_the_gate_with_the_rest(make_eva, image):
    vit = make_eva("dinov3")
    if not hasattr(vit.blocks[0].attn, "gate"):
        pytest.skip("this timm has no gated attention")
    for block in vit.blocks:
        block.attn.gate = torch.nn.Linear(32, 32)
    image = image[:1, :, :, :64]
    tokens = add_test_time_registers(copy.deepcopy(vit), LAYERS)
    add_bias_registers(vit, bake_registers(vit, LAYERS, image))
    torch.testing.assert_close(vit(image), tokens(image), rtol=0, atol=1e-5)


@torch.no_grad()
def test_planted_neurons_are_found(make_eva):
    generator = torch.Generator().manual_seed(3)
    vit = make_eva("dinov3", img_size=96)
    images, bright = bright_images(10, generator)
    for place in ((1, 5), (2, 60)):
        plant_unit(vit, *place, images, bright, generator)
    found = find_register_neurons(vit, images, top_k=2)
    assert {(block, unit) for block, unit, *_ in found.ranking[:2]} == {(1, 5), (2, 60)}


# Positions


@pytest.mark.parametrize("kind", ["dinov3", "eva02", "mixed"])
@torch.no_grad()
def test_rope__is_made_once_per_grid_and_anew_when_it_changes(make_eva, monkeypatch, kind):
    vit, tables, calls = make_eva(kind).requires_grad_(False), PositionTables("timm"), []
    made = type(vit.rope).get_embed
    monkeypatch.setattr(
        type(vit.rope),
        "get_embed",
        lambda self, *args, **kwargs: calls.append(1) or made(self, *args, **kwargs),
    )
    first = tables(vit, (4, 6))
    assert tables(vit, (4, 6)) is first
    assert first.rotation.dtype == torch.float32
    assert not torch.equal(tables(vit, (6, 4)).rotation, first.rotation)
    assert len(calls) == 2
    if kind == "mixed":
        state = vit.state_dict()
        vit.load_state_dict({**state, "rope.freqs": state["rope.freqs"] * 2})
        assert not torch.equal(tables(vit, (4, 6)).rotation, first.rotation)
    vit.to("meta")
    assert tables(vit, (4, 6)).rotation.device.type == "meta"
    vit.train()
    assert tables(vit, (4, 6)) is not tables(vit, (4, 6)), "RoPE may be drawn anew"


# Refusals


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("beit_base_patch16_224", {"embed_dim": 32, "num_heads": 2}, "Beit.*one size at a time"),
        ("vit_base_patch16_rope_224", {"use_naflex": True}, "NaFlexVit.*padded.*TIMM_USE_NAFLEX"),
    ],
)
def test_other_classes_are_refused_with_the_reason(name, options, message):
    vit = timm.create_model(name, depth=2, **options)
    with pytest.raises(InputError, match=message):
        add_test_time_registers(vit, LAYERS)


def test_blocks_normed_behind_their_mlp_are_refused(make_eva):
    vit = make_eva("eva", use_post_norm=True)
    for add in (add_test_time_registers, lambda vit, layers: bake_registers(vit, layers, None)):
        with pytest.raises(InputError, match=r"behind the MLP \(as in EVA02-E\).*rescales"):
            add(vit, LAYERS)
    assert family_of(vit).attention_input(vit.blocks[0], "tokens") == "tokens"


def test_patches_dropped_in_training_are_refused(make_eva, image):
    vit = make_eva("dinov3", patch_drop_rate=0.5).train()
    with pytest.raises(InputError, match="patch_drop_rate"):
        tapped_maps(vit, image, positions_of(vit, (4, 6), "timm"), [Tap(1)], with_cls=False)
