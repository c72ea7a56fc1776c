"""Inspections equal what timm computes, for every kind of registers, in bounded memory."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import ParallelScalingBlock, ResPostBlock
from torch.utils._python_dispatch import TorchDispatchMode

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    add_bias_registers,
    add_test_time_registers,
    bake_registers,
    register_tokens,
)
from ttr_backbones.report.inspection import inspect_model


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_norms_and_features_are_timms(make_vit, images):
    vit = add_test_time_registers(make_vit(reg_tokens=4), {1: [3]}, num=2)
    seen = inspect_model(vit, images)
    final, outputs = vit.forward_intermediates(
        images, output_fmt="NLC", return_prefix_tokens=True, norm=False
    )
    for block, (patches, prefix) in enumerate(outputs):
        torch.testing.assert_close(seen.norms[block].flatten(1), patches.norm(dim=2))
        torch.testing.assert_close(seen.cls_norms[block], prefix[:, 0].norm(dim=1))
        registers = torch.cat([prefix[:, 1:], register_tokens(vit, images, block, norm=False)], 1)
        torch.testing.assert_close(seen.register_norms[block], registers.norm(dim=2))
    torch.testing.assert_close(seen.features.flatten(2).transpose(1, 2), final[:, 5:])
    assert seen.norms.shape == (4, 3, 4, 6)
    assert seen.grid == (4, 6)
    assert (seen.registers, seen.num_registers) == ("trained+test_time", 2)


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "norm_layer": "layernorm"}])
@torch.no_grad()
def test_attention_is_what_unfused_timm_computes(make_vit, images, options):
    vit = add_test_time_registers(make_vit(**options), {1: [3]}, num=2)
    attn, whole = vit.blocks[2].attn, []
    attn.fused_attn = False
    attn.attn_drop.register_forward_hook(lambda *args: whole.append(args[2]))
    seen = inspect_model(vit, images, attention_blocks=(-2, 2))
    assert set(seen.attention) == {2}, "each block once, counted from 0"
    assert seen.attention[2].shape == (3, 2, 4, 6)
    given = seen.attention[2].flatten(2)
    torch.testing.assert_close(given, torch.cat(whole)[:, :, 0, 3:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "norm_layer": "layernorm"}])
@torch.no_grad()
def test_attention_counts_what_constant_keys_take(make_vit, images, options):
    vit = make_vit(**options)
    add_bias_registers(vit, bake_registers(vit, {1: [3]}, images, num=2))
    attn, whole = vit.blocks[2].attn, []
    attn.fused_attn = False
    attn.attn_drop.register_forward_hook(lambda *args: whole.append(args[2]))
    seen = inspect_model(vit, images, attention_blocks=(2,))
    given = seen.attention[2].flatten(2)
    (weights,) = {part.shape[1:] for part in whole}
    assert weights == (2, 25, 27), "24 patches, CLS, and two constants among the keys"
    torch.testing.assert_close(given, torch.cat(whole)[:, :, 0, 1:25], rtol=1e-5, atol=1e-6)
    assert (given.sum(dim=2) < 1).all()


@pytest.mark.parametrize("options", [{}, {"scale_mlp_norm": True}])
@torch.no_grad()
def test_activations_are_the_input_of_fc2_before_the_edit(make_vit, images, options):
    vit, inputs = make_vit(**options), []
    hook = vit.blocks[1].mlp.fc2.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    plain = inspect_model(vit, images, neurons=[(1, 3), (1, 5)])
    hook.remove()
    torch.testing.assert_close(
        plain.activations[1, 5].flatten(1), torch.cat(inputs)[:, 1:, 5], rtol=0, atol=0
    )
    add_test_time_registers(vit, {1: [3]}, num=0)  # no token added: block 1 sees what it saw
    cleared = inspect_model(vit, images, neurons=[(1, 3)])
    assert torch.equal(cleared.activations[1, 3], plain.activations[1, 3])
    assert plain.activations[1, 3].abs().max() > 0


def test_kinds_of_registers_are_told_apart(make_vit, images):
    def registers(vit):
        return inspect_model(vit, images).registers

    assert registers(make_vit()) == "none"
    assert registers(make_vit(reg_tokens=4)) == "trained"
    assert registers(add_test_time_registers(make_vit(), {1: [3]})) == "test_time"
    for kind, options in (("bias", {}), ("trained+bias", {"reg_tokens": 4})):
        vit = make_vit(**options)
        add_bias_registers(vit, bake_registers(vit, {1: [3]}, images, num=2))
        seen = inspect_model(vit, images, neurons=[(1, 3)])
        assert (seen.registers, seen.num_registers) == (kind, 2)
        assert seen.activations[1, 3].abs().max() > 0, "as it fires; it writes nothing"


def test_a_model_without_cls_token_has_no_cls_attention(make_vit, images):
    seen = inspect_model(make_vit(class_token=False, global_pool="avg"), images)
    assert (seen.cls_norms, seen.register_norms, seen.attention) == (None, None, {})
    assert seen.norms.shape == (4, 3, 4, 6)


def test_every_image_is_seen_by_itself_and_progress_is_told(make_vit, images):
    told, vit = [], make_vit()
    given = {"attention_blocks": (1,), "neurons": [(2, 7)]}
    together = inspect_model(vit, images, **given, progress=lambda *args: told.append(args))
    assert told == [(1, 3), (2, 3), (3, 3)]
    alone, part = inspect_model(vit, images[:1], **given), together.first(1)
    assert torch.equal(alone.norms, part.norms)
    assert torch.equal(alone.cls_norms, part.cls_norms)
    assert torch.equal(alone.attention[1], part.attention[1])
    assert torch.equal(alone.features, part.features)
    assert torch.equal(alone.activations[2, 7], part.activations[2, 7])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"attention_blocks": (4,)}, "no block 4: the model has blocks 0..3"),
        ({"neurons": [(1, 128)]}, r"no neuron 1:128: .* units 0..127"),
        ({"neurons": [(4, 0)]}, r"no neuron 4:0: the model has blocks 0..3"),
    ],
)
def test_what_the_model_does_not_have_is_explained(make_vit, images, given, told):
    vit = make_vit()
    with pytest.raises(InputError, match=told):
        inspect_model(vit, images, **given)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in vit.blocks)


def test_attention_of_a_block_with_its_norm_behind_is_of_what_that_attention_is_given(
    make_vit, images
):
    vit = make_vit(block_fn=ResPostBlock)
    seen = inspect_model(vit, images, attention_blocks=[3])
    (tokens, prefix), *_ = vit.forward_intermediates(
        images, [2], output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
    )
    query, key, _ = vit.blocks[3].attn.qkv(torch.cat([prefix, tokens], 1)).chunk(3, dim=2)
    query, key = (each.unflatten(2, (2, 16)).transpose(1, 2) for each in (query, key))
    weights = (query[:, :, :1] @ key.transpose(2, 3) / 4).softmax(dim=-1)[:, :, 0, 1:]
    torch.testing.assert_close(seen.attention[3].flatten(2), weights)


def test_other_attention_and_no_images_are_refused(make_vit, images):
    with pytest.raises(InputError, match="block 3 is a ParallelScalingBlock, attention NoneType"):
        inspect_model(make_vit(block_fn=ParallelScalingBlock), images)
    with pytest.raises(InputError, match=r"expected images \[B, 3, H, W\]"):
        inspect_model(make_vit(), images[0])
    with pytest.raises(InputError, match="B > 0"):
        inspect_model(make_vit(), images[:0])


class _Largest(TorchDispatchMode):
    """Notes the number of values in the largest tensor that any operation makes."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.values = max(self.values, tensor.numel())
        return out


def test_memory_is_bounded_at_1022_pixels(make_vit):
    vit = add_test_time_registers(make_vit(patch_size=14, depth=2, img_size=56), {0: [3]})
    images, tokens = torch.zeros(2, 3, 1022, 1022), 73 * 73 + 2
    with _Largest() as largest:
        seen = inspect_model(vit, images, attention_blocks=(0, 1))
    assert seen.attention[1].shape == (2, 2, 73, 73)
    assert largest.values == 3 * 1022 * 1022, "one image; attention of all patches is 9 times that"
    assert largest.values < tokens**2 / 8
