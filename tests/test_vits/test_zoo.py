"""Every layout of timm's ViTs, made narrow: registers, sizes, batches, and the search."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import timm
import torch
from packaging.version import Version
from torch.nn import functional as F

import ttr_backbones.vits
from ttr_backbones.registers import (
    add_test_time_registers,
    find_register_neurons,
    remove_test_time_registers,
)
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.zoo import BEGIN, END, narrow, table, zoo

ROWS = zoo()
WORKING = [row for row in ROWS if "register" in row.works]
DEPTH, BLOCK, UNIT = 3, 1, 5
ACTIVATION = 10.0


def cases():
    """One layout of each way to tell positions, to attend and to compute; the others nightly."""
    seen = set()
    for row in WORKING:
        layout = row.layout
        told = (layout.implementation, layout.positions, layout.attention, layout.mlp, layout.pool)
        told = told[:4] if layout.pool != "map" else told
        marks = [pytest.mark.nightly] if told in seen else []
        seen.add(told)
        yield pytest.param(row, id=row.architectures[0], marks=marks)


@pytest.mark.skipif(
    Version(timm.__version__) < Version("1.0.31"), reason="the table is of timm 1.0.31"
)
def test_table__is_what_the_models_say():
    text = (Path(ttr_backbones.vits.__file__).parent / "README.md").read_text()
    written = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert written == table(ROWS), "python -m ttr_backbones.vits.zoo writes it anew"


def test_rows__that_are_refused():
    refused = {name for row in ROWS if "register" in row.refused for name in row.architectures}
    assert refused == {
        *("deit_base_distilled_patch16_224", "deit_base_distilled_patch16_384"),
        *("deit_small_distilled_patch16_224", "deit_tiny_distilled_patch16_224"),
        *("vit_pwee_patch16_reg1_gap_256", "vit_dpwee_patch16_reg1_gap_256"),
        *("eva02_enormous_patch14_clip_224", "vit_base_patch16_rpn_224"),
    }


def small(row):
    """The first architecture of a layout for 5 x 5 patches, LayerScale 1, every weight random."""
    kwargs = {"img_size": 5 * patch_size(row), "dynamic_img_size": True}
    torch.manual_seed(0)
    vit = narrow(row.architectures[0], DEPTH, **kwargs)
    for key, parameter in vit.named_parameters():
        scale = "gamma" in key or (parameter.ndim == 1 and key.endswith("weight"))
        noise = torch.randn(parameter.shape) * (0.02 if parameter.ndim == 1 else 0.1)
        parameter.data = noise + float(scale)
    return vit


@functools.cache
def patch_of(name):
    vit = narrow(name)
    return family_of(vit).facts(vit).patch_size[0]


def patch_size(row):
    return patch_of(row.architectures[0])


def images_for(row, grid, count=2):
    size = [side * patch_size(row) for side in grid]
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def by_hand(vit, images, *, seen=True):
    """timm's own pass with a token of zeros behind the prefix, which others attend to or not."""
    count, x = vit.num_prefix_tokens, vit._pos_embed(vit.patch_embed(images))
    x, rope = x if isinstance(x, tuple) else (x, None)
    x = torch.cat([x[:, :count], torch.zeros(len(x), 1, x.shape[2]), x[:, count:]], dim=1)
    x = vit.norm_pre(x)
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    mask[:, count] = seen
    mask[count, count] = True
    for index, block in enumerate(vit.blocks):
        if rope is None:
            x = block(x, attn_mask=mask[None, None])
            continue
        block.attn.num_prefix_tokens += 1
        of_block = rope[index] if getattr(vit, "rope_mixed", False) else rope
        x = block(x, rope=of_block, attn_mask=mask[None, None])
        block.attn.num_prefix_tokens -= 1
    x = vit.norm(x)
    return torch.cat([x[:, :count], x[:, count + 1 :]], dim=1)


@pytest.mark.parametrize("row", cases())
@torch.no_grad()
def test_register__is_one_more_token(row):
    vit = small(row)
    family_of(vit).second_linear(vit.blocks[BLOCK]).weight[:, UNIT] = 0  # moving it does nothing
    close = {"rtol": 1e-4, "atol": 1e-4}
    for grid in ((5, 5), (4, 7)):
        images = images_for(row, grid)
        plain, pooled = vit.forward_features(images), vit(images)
        torch.testing.assert_close(by_hand(vit, images, seen=False), plain, **close)
        expected = by_hand(vit, images)
        assert not torch.allclose(expected, plain, rtol=1e-3, atol=1e-3)
        add_test_time_registers(vit, {BLOCK: [UNIT]})
        torch.testing.assert_close(vit.forward_features(images), expected, **close)
        torch.testing.assert_close(vit(images), vit.forward_head(expected), **close)
        remove_test_time_registers(vit)
        assert torch.equal(vit.forward_features(images), plain)
        assert torch.equal(vit(images), pooled)


@pytest.mark.parametrize("row", cases())
@torch.no_grad()
def test_neurons__planted_are_found_and_moved_image_by_image(row):
    vit, (images, bright) = small(row), bright_images(row)
    limit = 3 * norms(vit, images).max()
    plant(vit, images, bright, 3 * limit)
    planted = norms(vit, images)
    weakest, others = planted[bright].min(), planted[~bright].max()
    assert weakest > torch.maximum(limit, others)  # without biases the unit fires elsewhere too
    threshold = ((weakest + others) / 2).item()
    found = find_register_neurons(vit, images, detect_block=BLOCK, threshold=threshold, top_k=1)
    assert found.layers == {BLOCK: [UNIT]}
    add_test_time_registers(vit, found)
    assert norms(vit, images).max() < limit
    batch = vit.forward_features(images[:3])
    alone = torch.cat([vit.forward_features(image[None]) for image in images[:3]])
    torch.testing.assert_close(batch, alone, rtol=1e-4, atol=1e-4)


def norms(vit, images):
    """Of the patches after the planted block, [B, N]."""
    options = {"output_fmt": "NLC", "intermediates_only": True}
    return vit.forward_intermediates(images, [BLOCK], **options)[0].norm(dim=2)


def bright_images(row):
    """Six images of noise with one bright patch each, and where it is, bool [B, N]."""
    images = images_for(row, (5, 5), 6) * 0.02
    places = torch.tensor([0, 7, 12, 18, 3, 24])
    bright = F.one_hot(places, 25).bool()
    side = images.shape[2] // 5
    on = bright.view(-1, 1, 5, 5).repeat_interleave(side, 2).repeat_interleave(side, 3)
    return images + 4.0 * on, bright


def plant(vit, images, bright, norm):
    """Let a unit fire on the bright patches and nowhere else, and write `norm` or more there."""
    mlp, seen = vit.blocks[BLOCK].mlp, []
    handle = mlp.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    vit.forward_features(images)
    handle.remove()
    count = seen[0].shape[1] - bright.shape[1]
    on = torch.cat([bright.new_zeros(len(bright), count), bright], dim=1).flatten()
    gated = hasattr(mlp, "fc1_g")
    biased = (mlp.fc1_g if gated else mlp.fc1).bias is not None
    tokens = torch.cat([seen[0].flatten(0, 1), torch.full((on.numel(), 1), float(biased))], dim=1)
    target = torch.where(on, ACTIVATION, -ACTIVATION)[:, None]
    solved = torch.linalg.lstsq(tokens, target, driver="gelsd").solution[:, 0]
    drive = tokens @ solved
    low, high = drive[~on].max(), drive[on].min()
    assert low < high, "the bright patches cannot be told from the others"
    if biased:
        solved[-1] -= (high + low) / 2
        high, low = (high - low) / 2, (low - high) / 2
    weight, bias = (solved * ACTIVATION / high).split([len(solved) - 1, 1])
    rows = [(mlp.fc1_g if gated else mlp.fc1, UNIT)]
    if gated:  # SwiGLU: silu(gate) * value, here of the same
        rows.append((mlp.fc1_x, UNIT))
    elif mlp.fc1.out_features > mlp.fc2.in_features:  # GluMlp: both are halves of fc1
        rows.append((mlp.fc1, UNIT + mlp.fc2.in_features))
    for linear, unit in rows:
        linear.weight[unit] = weight
        if biased:
            linear.bias[unit] = bias[0]
    written = torch.randn(vit.embed_dim, generator=torch.Generator().manual_seed(2))
    hidden = []
    handle = mlp.fc2.register_forward_pre_hook(lambda _, args: hidden.append(args[0]))
    vit.forward_features(images)
    handle.remove()
    weakest = hidden[0][..., UNIT].flatten()[on].abs().min()  # a norm may stand before
    mlp.fc2.weight[:, UNIT] = written / written.norm() * (norm / weakest)
