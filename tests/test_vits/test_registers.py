"""Registers on a timm ViT: equal to a plain re-statement, invisible when off, right when on."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from timm.layers import GluMlp, SwiGLUPacked
from timm.models.vision_transformer import (
    ParallelScalingBlock,
    VisionTransformer,
    checkpoint_filter_fn,
)
from torch.nn import functional as F

from ttr_backbones.registers import (
    RegisterNeurons,
    add_test_time_registers,
    has_test_time_registers,
    num_inner_prefix_tokens,
    outlier_mask,
    random_neurons,
    register_tokens,
    remove_test_time_registers,
    split_tokens,
    token_norms,
)

LAYERS = {1: [3, 7], 2: [11]}
KINDS = {
    "gelu": {},
    "quickgelu": {"act_layer": "quick_gelu", "pre_norm": True, "norm_layer": "layernorm"},
    "swiglu": {"mlp_layer": SwiGLUPacked, "act_layer": "silu", "mlp_ratio": 4},
    "no_cls": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "reg4": {"reg_tokens": 4, "no_embed_class": True},
    "reg2_embedded": {"reg_tokens": 2},
    "scaled_mlp_norm": {"scale_mlp_norm": True},
}


def restated(vit, image, layers, num, *, scale=1.0):
    """Patch tokens of the last block for one image, written out by hand from the paper."""
    x = vit.patch_embed(image)
    h, w = x.shape[1:3]
    x = x.reshape(1, h * w, -1)
    prefix = [t for t in (vit.cls_token, vit.reg_token) if t is not None]
    own = sum(t.shape[1] for t in prefix)
    if vit.no_embed_class:
        x = torch.cat([*prefix, x + vit.pos_embed], dim=1)
    else:
        x = torch.cat([*prefix, x], dim=1) + vit.pos_embed
    x = torch.cat([x, torch.zeros(1, num, x.shape[2])], dim=1)  # last, as in the paper
    x = vit.norm_pre(x)
    for index, block in enumerate(vit.blocks):
        x = x + block.ls1(block.attn(block.norm1(x)))
        mlp, y = block.mlp, block.norm2(x)
        y = mlp.fc1(y)
        if isinstance(mlp, GluMlp):  # SwiGLUPacked
            gate, value = y.chunk(2, dim=-1)
            y = F.silu(gate) * value
        else:
            y = mlp.act(y)
        y = mlp.norm(y)
        for unit in layers.get(index, []):
            column = y[0, :, unit]
            peak = column[column.abs().argmax()].clone()
            y[0, :, unit] = 0
            y[0, -num:, unit] = peak * scale
        x = x + block.ls2(mlp.fc2(y))
    return x[:, own : own + h * w]


@pytest.fixture
def image():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num", [1, 3])
@torch.no_grad()
def test_equals_the_method_written_out_by_hand(make_vit, image, kind, num):
    vit = make_vit(**KINDS[kind])
    expected = torch.cat([restated(vit, one[None], LAYERS, num) for one in image])
    add_test_time_registers(vit, LAYERS, num=num)
    last = vit.forward_intermediates(image, [3], output_fmt="NLC", intermediates_only=True)[0]
    torch.testing.assert_close(last, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(last, _plain(make_vit(**KINDS[kind]), image), atol=1e-3)


def _plain(vit, image):
    return vit.forward_intermediates(image, [3], output_fmt="NLC", intermediates_only=True)[0]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_removed_is_timm_bit_for_bit_and_state_dict_never_changes(make_vit, image, kind):
    vit = make_vit(**KINDS[kind])
    before, state = vit(image), {k: v.clone() for k, v in vit.state_dict().items()}
    attributes = (type(vit), vit.num_prefix_tokens, vit.num_reg_tokens)
    add_test_time_registers(vit, LAYERS, num=2)
    assert has_test_time_registers(vit)
    assert (vit.num_prefix_tokens, vit.num_reg_tokens) == attributes[1:], "outside as before"
    assert num_inner_prefix_tokens(vit) == attributes[1] + 2
    assert vit.state_dict().keys() == state.keys()
    vit.load_state_dict(state)
    assert not torch.equal(vit(image), before)
    remove_test_time_registers(vit)
    assert (type(vit), vit.num_prefix_tokens, vit.num_reg_tokens) == attributes
    assert torch.equal(vit(image), before)
    assert all(torch.equal(state[k], v) for k, v in vit.state_dict().items())
    assert vars(vit).keys() == vars(make_vit(**KINDS[kind])).keys()


def test_patch_dropout_never_drops_a_register(make_vit):
    vit = add_test_time_registers(make_vit(patch_drop_rate=0.75), LAYERS, num=2).train()
    seen = []
    vit.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert vit.forward_features(torch.randn(2, 3, 64, 64)).shape == (2, 1 + 4, 32)
    assert [part.shape[1] for part in split_tokens(vit, seen[0])] == [1, 2, 4]
    assert not split_tokens(vit, seen[0]).registers.any(), "they start as zeros"
    assert remove_test_time_registers(vit).patch_drop.num_prefix_tokens == 1


@torch.no_grad()
def test_batch_equals_single_images(make_vit, image):
    vit = add_test_time_registers(make_vit(), LAYERS)
    singles = torch.cat([vit(one[None]) for one in image])
    torch.testing.assert_close(vit(image), singles, rtol=1e-5, atol=1e-6)


def _edited_hidden(vit):
    """Have the second linear of block 1 give out its first 32 inputs as they are after the edit."""
    fc2, seen = vit.blocks[1].mlp.fc2, {}
    torch.nn.init.eye_(fc2.weight)
    torch.nn.init.zeros_(fc2.bias)
    fc2.register_forward_hook(lambda _, __, output: seen.update(hidden=output))
    return seen


@torch.no_grad()
def test_activations_go_to_the_chosen_patches_and_no_token_is_added(make_vit, image):
    vit = make_vit()
    seen = _edited_hidden(vit)
    vit(image)
    plain = seen["hidden"]
    add_test_time_registers(vit, {1: [3]}, positions=[0, 9])
    vit(image)
    edited = seen["hidden"]
    assert edited.shape == plain.shape
    peak = plain[..., 3].gather(1, plain[..., 3].abs().argmax(1, keepdim=True))
    assert torch.equal(edited[:, [1, 10], 3], peak.expand(-1, 2))
    rest = [t for t in range(17) if t not in (1, 10)]
    assert not edited[:, rest, 3].any()


@torch.no_grad()
def test_scale_per_register_and_shared_neurons(make_vit, image):
    vit = make_vit()
    seen = _edited_hidden(vit)
    add_test_time_registers(vit, {1: list(range(20))}, num=2, scale=[1.0, 0.5])
    vit(image)
    rows = seen["hidden"][:, 1:3, :20]
    assert torch.equal(rows[:, 1], rows[:, 0] * 0.5)
    remove_test_time_registers(vit)
    share = torch.Generator().manual_seed(0)
    add_test_time_registers(vit, {1: list(range(20))}, num=2, share=share)
    vit(image)
    given = seen["hidden"][:, 1:3, :20] != 0
    assert (given.sum(dim=1) == 1).all(), "every neuron belongs to exactly one register"
    assert given[:, 0].any()
    assert given[:, 1].any()


@torch.no_grad()
def test_no_register_only_clears(make_vit, image):
    vit = make_vit()
    seen = _edited_hidden(vit)
    add_test_time_registers(vit, {1: [3]}, num=0)
    assert vit(image).shape == (3, 5)
    assert seen["hidden"].shape[1] == 17
    assert not seen["hidden"][..., 3].any()


def test_random_neurons_are_as_many_and_others(make_vit):
    vit, neurons = make_vit(), RegisterNeurons("", {1: [3, 7], 2: [11]})
    one, two = (random_neurons(vit, neurons, torch.Generator().manual_seed(0)) for _ in range(2))
    assert one == two
    assert {block: len(units) for block, units in one.layers.items()} == {1: 2, 2: 1}
    assert not set(one.layers[1]) & {3, 7}


def test_fine_tuning_trains_the_model_and_never_the_register(make_vit, image):
    vit = add_test_time_registers(make_vit(), LAYERS, num=2).train()
    optimizer = torch.optim.AdamW(vit.parameters(), lr=1e-3)
    shapes = [p.shape for p in make_vit().parameters()]
    assert [p.shape for p in vit.parameters()] == shapes
    before = copy.deepcopy(vit.state_dict())
    vit(image).square().mean().backward()
    optimizer.step()
    changed = {k for k, v in vit.state_dict().items() if not torch.equal(v, before[k])}
    assert {"pos_embed", "cls_token", "blocks.1.mlp.fc2.weight"} <= changed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_autocast_and_half_precision(make_vit, image, dtype):
    vit = add_test_time_registers(make_vit(), LAYERS)
    full = vit(image)
    with torch.autocast("cpu", dtype=dtype):
        torch.testing.assert_close(vit(image).float(), full, rtol=0.1, atol=0.1)
    half = vit.to(dtype)(image.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1)


@torch.no_grad()
def test_copies_and_pickles_are_models_of_their_own(make_vit, image):
    vit = add_test_time_registers(make_vit(), LAYERS)
    expected = vit(image)
    clone, restored = copy.deepcopy(vit), pickle.loads(pickle.dumps(vit))
    remove_test_time_registers(vit)
    assert torch.equal(clone(image), expected)
    assert torch.equal(restored(image), expected)


@torch.no_grad()
def test_set_input_size_and_prune_work_with_registers_on(make_vit):
    vit = add_test_time_registers(make_vit(dynamic_img_size=False), LAYERS)
    vit.set_input_size((96, 32))
    assert vit(torch.randn(1, 3, 96, 32)).shape == (1, 5)
    remove_test_time_registers(vit)
    assert vit.pos_embed.shape == (1, 1 + 12, 32)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.nightly)])
@torch.no_grad()
def test_compile_without_graph_breaks_matches_eager(make_vit, image, backend):
    vit = add_test_time_registers(make_vit(depth=3), LAYERS, num=2, fill="only_outliers")
    compiled = torch.compile(vit, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(image), vit(image), rtol=1e-4, atol=1e-5)


@pytest.mark.exports
@torch.no_grad()
def test_export_matches_eager(make_vit, image):
    vit = add_test_time_registers(make_vit(depth=3), LAYERS, num=2, fill="only_outliers")
    eager = vit(image)
    exported = torch.export.export(vit, (image,))
    torch.testing.assert_close(exported.module()(image), eager, rtol=1e-5, atol=1e-6)
    assert set(exported.state_dict) == set(vit.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": -1}, "num=-1: expected the number of registers"),
        ({"num": 1.5}, "num=1.5: expected the number of registers"),
        ({"peak": "neurn"}, "unknown peak 'neurn'. Did you mean 'neuron'"),
        ({"fill": "median"}, "unknown fill 'median'.*mean.*Known: mean, only_outliers, same, zero"),
        ({"keep_cls": 2}, "keep_cls=2: expected True, False, or how many.*0 to 1"),
        ({"scale": [1.0, 2.0]}, "expected one number, or 1: one per register"),
        ({"scale": []}, "expected one number, or 1: one per register"),
        ({"scale": float("nan")}, "expected finite numbers"),
        ({"positions": [-1]}, "expected flat patch indices"),
        ({"positions": [1, 1]}, "named twice"),
        ({"positions": [1], "num": 2}, "give registers or positions"),
        ({"neurons": {4: [0]}}, r"block 4 does not exist.*blocks 0\.\.3"),
        ({"neurons": {1: [128]}}, r"unit 128 of block 1 does not exist.*0\.\.127"),
        ({"neurons": {1: [-1]}}, "unit index -1: expected a 0-based integer"),
        ({"neurons": {1: [5, 5]}}, r"lists units \[5\] more than once"),
        ({"neurons": {1: []}}, "is empty"),
        ({"neurons": {1: 5}}, "expected a list of unit indices, got 5"),
        ({"neurons": RegisterNeurons("vit_small_patch16_224", LAYERS)}, ""),
    ],
)
def test_bad_options_are_explained(make_vit, options, message):
    vit = make_vit()
    if not message:  # a model without a name cannot contradict the list's
        add_test_time_registers(vit, **options)
        return
    with pytest.raises(ValueError, match=message):
        add_test_time_registers(vit, **({"neurons": LAYERS} | options))
    assert type(vit) is VisionTransformer
    assert type(vit.blocks[1].mlp.fc2) is torch.nn.Linear


def test_bad_models_are_explained(make_vit):
    with pytest.raises(ValueError, match=r"expected a timm VisionTransformer or .*ResNet"):
        add_test_time_registers(timm.create_model("resnet18"), LAYERS)
    distilled = timm.create_model("deit_tiny_distilled_patch16_224", depth=2)
    with pytest.raises(ValueError, match="VisionTransformerDistilled puts its sequence together"):
        add_test_time_registers(distilled, LAYERS)
    with pytest.raises(ValueError, match=r"ParallelScalingBlock without timm's `mlp.fc2`"):
        add_test_time_registers(make_vit(block_fn=ParallelScalingBlock), LAYERS)
    with pytest.raises(ValueError, match="no CLS token"):
        add_test_time_registers(make_vit(**KINDS["no_cls"]), LAYERS, keep_cls=True)
    with pytest.raises(ValueError, match="no test-time registers to remove"):
        remove_test_time_registers(make_vit())
    vit = add_test_time_registers(make_vit(), LAYERS)
    with pytest.raises(ValueError, match="already has test-time registers"):
        add_test_time_registers(vit, LAYERS)
    other = timm.create_model("vit_small_patch16_224", depth=2, embed_dim=32, num_heads=2)
    with pytest.raises(ValueError, match="belong to 'vit_tiny_patch16_224', the model is 'vit_sma"):
        add_test_time_registers(other, RegisterNeurons("vit_tiny_patch16_224", {1: [3]}))


@pytest.fixture(scope="module")
def real_vit(tiny_weights):
    from safetensors.torch import load_file

    vit = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True)
    vit.load_state_dict(checkpoint_filter_fn(load_file(tiny_weights), vit))
    return vit.eval()


@pytest.mark.parametrize(("size", "count"), [(224, 8), (512, 1)])
@torch.no_grad()
def test_the_real_vit_loses_all_its_outliers(real_vit, photos, size, count):
    neurons = RegisterNeurons("vit_tiny_patch16_224", {6: [189], 7: [417]})
    images = photos(size)[:count]
    last = {"indices": [11], "output_fmt": "NLC"}
    final, [before] = real_vit.forward_intermediates(images, **last)
    classes = real_vit.forward_head(final).argmax(1)
    add_test_time_registers(real_vit, neurons)
    try:
        final, [after] = real_vit.forward_intermediates(images, **last)
        registers = register_tokens(real_vit, images, norm=False)
        agree = (real_vit.forward_head(final).argmax(1) == classes).float().mean()
    finally:
        remove_test_time_registers(real_vit)
    assert outlier_mask(before, 100.0).any(dim=1).all(), "every photograph has outliers"
    assert token_norms(before).max() > 500
    assert not outlier_mask(after, 100.0).any()
    assert token_norms(after).max() < 40
    assert (token_norms(registers) > 300).all(), "the register holds the norm now"
    assert size != 224 or agree > 0.8


@torch.no_grad()
def test_controls_on_the_real_vit_leave_the_outliers(real_vit, photos):
    neurons = RegisterNeurons("vit_tiny_patch16_224", {6: [189], 7: [417]})
    control = random_neurons(real_vit, neurons, torch.Generator().manual_seed(0))
    images = photos(224)
    add_test_time_registers(real_vit, control)
    try:
        tokens = real_vit.get_intermediate_layers(images, 1)[0]
    finally:
        remove_test_time_registers(real_vit)
    assert outlier_mask(tokens, 100.0).any(dim=1).all()
