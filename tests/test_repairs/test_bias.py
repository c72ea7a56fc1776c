"""Constant keys and values: equal to explicit softmax, to the token form, and gone when removed."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
import timm
import torch
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import Attention, ParallelScalingBlock, VisionTransformer
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    BakedRegisters,
    RegisterNeurons,
    add_bias_registers,
    add_test_time_registers,
    bake_registers,
    has_test_time_registers,
    num_test_time_registers,
    remove_test_time_registers,
)
from ttr_backbones.repairs import describe_repair, fit_repair
from ttr_backbones.vits.class_swap import Mixin, sharing_copy
from ttr_backbones.vits.constant_tokens import with_constant_keys

LAYERS = {1: [3, 7], 2: [11]}
KINDS = {
    "gelu": {},
    "quickgelu": {"act_layer": "quick_gelu", "pre_norm": True, "norm_layer": "layernorm"},
    "swiglu": {"mlp_layer": SwiGLUPacked, "act_layer": "silu", "mlp_ratio": 4},
    "no_cls": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "reg4": {"reg_tokens": 4, "no_embed_class": True},
    "qk_norm": {"qk_norm": True},
    "scaled_norms": {"scale_mlp_norm": True, "scale_attn_norm": True},
}


@pytest.fixture
def image():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def baked():
    """Constants drawn at random for `make_vit()`: two registers, 4 blocks, 2 heads of 16."""
    generator = torch.Generator().manual_seed(3)
    keys, values = (torch.randn(4, 2, 2, 16, generator=generator) for _ in range(2))
    return BakedRegisters("", LAYERS, keys, values)


def by_hand(attention, x, keys, values, seen):
    """Attention [B, N, C] with constants [heads, R, d], one query at a time; `seen` [B, N, N]."""
    B, N, _ = x.shape
    heads = attention.num_heads
    qkv = attention.qkv(x).reshape(B, N, 3, heads, -1)
    out = torch.zeros(B, N, heads, qkv.shape[-1])
    for b in range(B):
        for head in range(heads):
            own_keys = attention.k_norm(qkv[b, :, 1, head])
            for n in range(N):
                query = attention.q_norm(qkv[b, n, 0, head]) / qkv.shape[-1] ** 0.5
                visible = seen[b, n].nonzero().flatten()
                logits = torch.cat([own_keys[visible] @ query, keys[head] @ query])
                weights = logits.exp() / logits.exp().sum()
                rows = torch.cat([qkv[b, visible, 2, head], values[head]])
                out[b, n, head] = weights @ rows
    return attention.proj(attention.norm(out.flatten(2)))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", ["gelu", "qk_norm", "scaled_norms"])
@torch.no_grad()
def test_attention__is_the_explicit_softmax_over_own_and_constant_keys(
    make_vit, baked, kind, fused
):
    vit = add_bias_registers(make_vit(**KINDS[kind]), baked)
    attention = vit.blocks[1].attn
    attention.fused_attn = fused
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(4))
    constants = baked.keys[1], baked.values[1]
    everything = torch.ones(2, 5, 5, dtype=torch.bool)
    expected = by_hand(attention, x, *constants, everything)
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-5)
    plain = make_vit(**KINDS[kind]).blocks[1].attn(x)
    assert not torch.allclose(expected, plain, atol=1e-2), "the constants do something"

    visible = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(5)) > 0.5
    expected = by_hand(attention, x, *constants, visible)
    for mask in (visible[:, None], torch.zeros(2, 1, 5, 5).masked_fill(~visible[:, None], -1e9)):
        torch.testing.assert_close(attention(x, attn_mask=mask), expected, rtol=1e-5, atol=1e-5)
    rows = visible[:, :1].expand(-1, 5, -1)
    torch.testing.assert_close(
        attention(x, attn_mask=visible[:, None, :1]),
        by_hand(attention, x, *constants, rows),
        rtol=1e-5,
        atol=1e-5,
    )
    causal = everything.tril()
    torch.testing.assert_close(
        attention(x, is_causal=True),
        by_hand(attention, x, *constants, causal),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"num": 3, "peak": "layer", "scale": [1.0, 0.5, 2.0]}])
@torch.no_grad()
def test_baked_on_one_image__is_the_token_form_on_that_image(make_vit, image, kind, options):
    """What the register gives to attention is then no mean of others, so nothing is lost."""
    vit = make_vit(**KINDS[kind])
    for one in image.split(1):
        token = add_test_time_registers(copy.deepcopy(vit), LAYERS, **options)
        baked = bake_registers(vit, LAYERS, one, **options)
        bias = add_bias_registers(copy.deepcopy(vit), baked)
        expected, actual = (_patches(model, one) for model in (token, bias))
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(bias(one), token(one), rtol=1e-5, atol=1e-5)
        cleared = add_test_time_registers(copy.deepcopy(vit), LAYERS, num=0)
        for other in (vit, cleared):
            assert not torch.allclose(actual, _patches(other, one), rtol=0, atol=1e-3)


def test_fit__bakes_what_the_list_says(make_vit, image):
    vit, options = make_vit(), {"num": 2, "scale": [1.0, 3.0]}
    listed = RegisterNeurons("", LAYERS, {"options": options})
    expected = bake_registers(vit, LAYERS, image, **options)
    found = fit_repair("bias", vit, image, neurons=listed)
    assert torch.equal(found.tensors["values"], expected.values)
    listed = RegisterNeurons("", LAYERS, {"options": {"fill": "mean"}})
    with pytest.raises(InputError, match="the list has fill='mean', and the bias form knows"):
        fit_repair("bias", vit, image, neurons=listed)


def _patches(vit, images):
    return vit.forward_intermediates(images, [3], output_fmt="NLC", intermediates_only=True)[0]


@torch.no_grad()
def test_fused_equals_unfused_on_the_whole_model(make_vit, baked, image):
    vit = add_bias_registers(make_vit(), baked)
    fused = vit(image)
    for block in vit.blocks:
        block.attn.fused_attn = False
    torch.testing.assert_close(vit(image), fused, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_batch_equals_single_images_and_every_size_works(make_vit, baked, image):
    vit = add_bias_registers(make_vit(), baked)
    singles = torch.cat([vit(one[None]) for one in image])
    torch.testing.assert_close(vit(image), singles, rtol=1e-5, atol=1e-6)
    assert vit(torch.randn(2, 3, 96, 32)).shape == (2, 5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_removed__is_timm_bit_for_bit_and_state_dict_keys_never_change(make_vit, image, kind):
    vit = make_vit(**KINDS[kind])
    before, state = vit(image), {k: v.clone() for k, v in vit.state_dict().items()}
    shown = {name: vars(module).keys() for name, module in vit.named_modules()}
    kinds = {name: type(module) for name, module in vit.named_modules()}
    add_bias_registers(vit, bake_registers(vit, LAYERS, image))
    assert has_test_time_registers(vit)
    assert num_test_time_registers(vit) == 0
    assert vit.register_neurons.layers == LAYERS
    assert vit.state_dict().keys() == state.keys()
    assert vit.forward_features(image).shape[1] == vit.num_prefix_tokens + 16
    assert not torch.equal(vit(image), before)
    zeroed = vit.blocks[1].mlp.fc2.weight[:, [3, 7]]
    assert not zeroed.any()
    remove_test_time_registers(vit)
    assert torch.equal(vit(image), before)
    assert all(torch.equal(state[k], v) for k, v in vit.state_dict().items())
    assert {name: type(module) for name, module in vit.named_modules()} == kinds
    assert {name: vars(module).keys() for name, module in vit.named_modules()} == shown
    assert not dict(vit.named_buffers())


@torch.no_grad()
def test_loading_weights__zeroes_the_columns_again_and_removal_gives_the_new_ones(
    make_vit, baked, image
):
    vit, other = add_bias_registers(make_vit(), baked), make_vit(seed=1)
    vit.load_state_dict(other.state_dict())
    torch.testing.assert_close(vit(image), add_bias_registers(make_vit(seed=1), baked)(image))
    vit.load_state_dict({"cls_token": other.cls_token}, strict=False)  # names no zeroed weight
    assert torch.equal(remove_test_time_registers(vit)(image), other(image))


@torch.no_grad()
def test_copies_that_share_the_weights__have_their_own_registers(make_vit, baked, image):
    """LogArtifacts and the benchmarks copy models so: nothing is written into a shared tensor."""
    vit = make_vit()
    before = vit(image)
    bias = add_bias_registers(sharing_copy(vit), baked)
    assert bias.pos_embed is vit.pos_embed
    expected = bias(image)
    assert torch.equal(vit(image), before)
    assert torch.equal(remove_test_time_registers(sharing_copy(bias))(image), before)
    assert torch.equal(bias(image), expected)


@torch.no_grad()
def test_copies_and_pickles_are_models_of_their_own(make_vit, baked, image):
    vit = add_bias_registers(make_vit(), baked)
    expected = vit(image)
    clone, restored = copy.deepcopy(vit), pickle.loads(pickle.dumps(vit))
    remove_test_time_registers(vit)
    for one in (clone, restored):
        assert torch.equal(one(image), expected)
        assert torch.equal(remove_test_time_registers(one)(image), vit(image))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["gelu", "qk_norm"])
@torch.no_grad()
def test_autocast_and_half_precision(make_vit, baked, image, dtype, kind):
    vit = add_bias_registers(make_vit(**KINDS[kind]), baked)
    full = vit(image)
    with torch.autocast("cpu", dtype=dtype):
        torch.testing.assert_close(vit(image).float(), full, rtol=0.1, atol=0.1)
    half = vit.to(dtype)
    assert half(image.to(dtype)).dtype == dtype
    torch.testing.assert_close(half(image.to(dtype)).float(), full, rtol=0.1, atol=0.1)
    expected = make_vit(**KINDS[kind]).to(dtype)(image.to(dtype))
    assert torch.equal(remove_test_time_registers(half)(image.to(dtype)), expected)


@torch.no_grad()
def test_removed_after_the_weights_alone_were_cast(make_vit, baked):
    """A frozen backbone keeps its linear layers in bfloat16 and everything else in float32."""
    vit = add_bias_registers(make_vit(), baked)
    fc2 = vit.blocks[1].mlp.fc2
    fc2.weight.data = fc2.weight.data.bfloat16()
    remove_test_time_registers(vit)
    assert torch.equal(fc2.weight, make_vit().blocks[1].mlp.fc2.weight.bfloat16())


@pytest.mark.slow
@torch.no_grad()
def test_compile_without_graph_breaks_matches_eager(make_vit, baked, image):
    vit = add_bias_registers(make_vit(), baked)
    eager = vit(image)
    compiled = torch.compile(vit, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(image), eager, rtol=1e-5, atol=1e-6)


@pytest.mark.exports
@pytest.mark.nightly
@torch.no_grad()
def test_export_matches_eager(make_vit, baked, image):
    vit = add_bias_registers(make_vit(), baked)
    eager = vit(image)
    exported = torch.export.export(vit, (image,))
    torch.testing.assert_close(exported.module()(image), eager, rtol=1e-5, atol=1e-6)
    assert set(exported.state_dict) == set(vit.state_dict())
    storages = [b.untyped_storage().data_ptr() for b in vit.buffers()]
    assert len(set(storages)) == len(storages), "torch.export.save warns of parts of a tensor"
    batch = torch.export.Dim("batch", min=2, max=16)
    flexible = torch.export.export(vit, (image,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(flexible(image[:2]), eager[:2], rtol=1e-5, atol=1e-6)


def test_gradients_reach_the_input_and_no_constant(make_vit, baked, image):
    vit = add_bias_registers(make_vit(), baked).train()
    image.requires_grad_()
    vit(image).square().mean().backward()
    assert image.grad.any()
    assert vit.blocks[1].mlp.fc2.weight.grad is not None
    assert not vit.blocks[1].attn.register_keys.requires_grad
    names = {name for name, _ in vit.named_parameters()}
    assert names == {name for name, _ in make_vit().named_parameters()}


def test_with_constant_keys__appends_those_of_the_block(make_vit, baked):
    vit, keys = make_vit(), torch.randn(3, 2, 7, 16)
    assert with_constant_keys(vit.blocks[2].attn, keys) is keys
    add_bias_registers(vit, baked)
    appended = with_constant_keys(vit.blocks[2].attn, keys)
    assert torch.equal(appended[:, :, :7], keys)
    assert torch.equal(appended[:, :, 7:], baked.keys[2].expand(3, -1, -1, -1))


def test_describe__tells_apart_what_differs(make_vit, baked):
    vit = make_vit()
    assert describe_repair(vit) is None
    told = describe_repair(add_bias_registers(make_vit(), baked))
    assert (told["layers"], told["num"]) == ({"1": [3, 7], "2": [11]}, 2)
    assert told == describe_repair(add_bias_registers(make_vit(), baked))
    others = dataclasses.replace(baked, values=baked.values + 1e-3)
    assert told != describe_repair(add_bias_registers(make_vit(), others))
    assert told != describe_repair(add_test_time_registers(make_vit(), LAYERS))


def test_either_form_on_top_of_the_other_is_refused(make_vit, baked):
    vit = add_test_time_registers(make_vit(), LAYERS)
    with pytest.raises(InputError, match="already has test-time registers: call remove_test_time"):
        add_bias_registers(vit, baked)
    vit = add_bias_registers(make_vit(), baked)
    for again in (
        lambda: add_bias_registers(vit, baked),
        lambda: add_test_time_registers(vit, LAYERS),
        lambda: bake_registers(vit, LAYERS, torch.randn(1, 3, 64, 64)),
    ):
        with pytest.raises(InputError, match="already has test-time registers"):
            again()


class _OtherAttention(Attention):
    pass


def test_models_that_cannot_have_constants_are_explained(make_vit, baked):
    def refuses(vit, message):
        state = {name: type(module) for name, module in getattr(vit, "named_modules", list)()}
        with pytest.raises(InputError, match=message):
            add_bias_registers(vit, baked)
        assert state == {name: type(module) for name, module in vit.named_modules()}

    refuses(timm.create_model("resnet18"), "expected a timm VisionTransformer or .*, got ResNet")
    parallel = make_vit(block_fn=ParallelScalingBlock)
    refuses(parallel, "block 0 is a ParallelScalingBlock with attn=NoneType: .*type='test_time'")
    gated = make_vit()
    gated.blocks[2].attn.gate = nn.Linear(32, 32)
    refuses(gated, "block 2 is a Block with attn=Attention and a gate: constant keys")
    other = make_vit()
    other.blocks[3].attn = _OtherAttention(32, 2)
    refuses(other, "block 3 is a Block with attn=_OtherAttention: .*timm's standard `Attention`")
    odd = make_vit()
    odd.blocks[1].mlp.fc2 = nn.Sequential()
    odd.blocks[1].mlp.fc2.in_features = 128
    refuses(odd, "MLP of block 1 is a Sequential, whose columns cannot be zeroed")
    refuses(make_vit(depth=3), r"are \(4, 2, 2, 16\), the model needs \(3, 2, 2, 16\)")
    refuses(make_vit(depth=2), r"block 2 does not exist: the model has blocks 0\.\.1")
    plain = make_vit()
    add_bias_registers(plain, baked)
    assert not any(isinstance(m, Mixin) for m in remove_test_time_registers(plain).modules())
    assert type(plain) is VisionTransformer
