"""The last block with other attention: by hand, with registers beside it, and off again."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import unmix_all
from ttr_backbones.vits.constant_tokens import add_constant_tokens
from ttr_backbones.vits.dense_last_block import (
    DenseOptions,
    change_last_block,
    gaussian_window,
    set_last_block,
)
from ttr_backbones.vits.grid_blocks import PatchChange, change_patches
from ttr_backbones.vits.learned_registers import add_learned_registers
from ttr_backbones.vits.pos_embed import positions_of
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.registers import add_test_time_registers
from ttr_backbones.vits.taps import Tap, tapped_maps

GRID = (3, 5)


@pytest.fixture
def clip(make_vit):
    return make_vit(init_values=None, pre_norm=True, qk_norm=True)


@pytest.fixture
def images():
    return torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(2))


def by_hand(block, x, options, first):
    """One token, one head and one pair at a time; `first` is the index of the first patch."""
    attention = block.attn
    B, N = x.shape[:2]
    q, k, v = attention.qkv(block.norm1(x)).unflatten(2, (3, 2, 16)).unbind(2)
    q, k = attention.q_norm(q), attention.k_norm(k)
    out = torch.zeros(B, N, 2, 16)
    kinds = {"vanilla": [(q, k)], "sclip": [(q, q), (k, k)], "qq": [(q, q)], "naclip": [(k, k)]}
    for head in range(2):
        if options.attention == "value":
            out[:, :, head] = v[:, :, head]
            continue
        for a, b in kinds[options.attention]:
            scores = a[:, :, head] @ b[:, :, head].transpose(1, 2) / 16**0.5
            for i in range(first, N):
                for j in range(first, N):
                    (r, c), (s, d) = divmod(i - first, GRID[1]), divmod(j - first, GRID[1])
                    if options.attention == "naclip":
                        away = torch.tensor(-((r - s) ** 2 + (c - d) ** 2) / 50)
                        scores[:, i, j] += away.exp()
            if not options.register_keys:
                scores[:, :, 1:first] = -torch.inf
            out[:, :, head] += scores.softmax(dim=2) @ v[:, :, head]
    out = attention.proj(out.flatten(2))
    if options.residual:
        out = x + out
    return out + block.mlp(block.norm2(out)) if options.mlp else out


def with_registers(vit, kind):
    if kind == "learned":
        add_learned_registers(vit, torch.randn(2, 32, generator=torch.manual_seed(1)))
    elif kind == "test_time":
        add_test_time_registers(vit, {2: [3, 9]}, num=2)
    return 3 if kind else 1


@torch.no_grad()
@pytest.mark.parametrize("kind", [None, "learned", "test_time"])
@pytest.mark.parametrize(
    "options",
    [
        DenseOptions("value"),  # MaskCLIP as released
        DenseOptions("value", residual=False, mlp=False),  # PH-Reg's student
        DenseOptions("sclip"),
        DenseOptions("sclip", register_keys=False),
        DenseOptions("qq", residual=False, mlp=False),  # ClearCLIP
        DenseOptions("naclip", residual=False, mlp=False),
        DenseOptions("naclip", mlp=False, register_keys=False),
        DenseOptions("vanilla", residual=False, mlp=False),
        DenseOptions("vanilla", residual=False, register_keys=False),
    ],
    ids=lambda o: f"{o.attention}-{o.residual:d}{o.mlp:d}{o.register_keys:d}",
)
def test_every_variant_by_hand(clip, images, options, kind):
    first = with_registers(clip, kind)
    taken = []
    with reading(clip, {Site(3, "input"): taken.append}):
        before = clip.forward_features(images)
    block = clip.blocks[-1]
    expected = clip.norm(by_hand(block, taken[0], options, first))
    change_last_block(clip, **vars(options))
    out = clip.forward_features(images)
    torch.testing.assert_close(out[:, 1:], expected[:, first:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out[:, 0], expected[:, 0], rtol=1e-4, atol=1e-5)
    # One image at a time, and by our own loop over the blocks, which hands the grid on itself.
    torch.testing.assert_close(clip.forward_features(images[1:]), out[1:])
    positions = positions_of(clip, GRID, "timm")
    (patches,) = tapped_maps(clip, images, positions, [Tap(3, norm=True)], with_cls=False)
    torch.testing.assert_close(patches.flatten(2).transpose(1, 2), out[:, 1:])
    unmix_all(clip)
    with_registers(clip, kind)
    assert torch.equal(clip.forward_features(images), before)


@torch.no_grad()
def test_defaults_change_nothing_and_the_released_kinds_are_attention_alone(clip, images):
    before = type(clip.blocks[-1])
    change_last_block(clip)
    set_last_block(clip, "own")
    assert type(clip.blocks[-1]) is before
    set_last_block(clip, "naclip")
    assert clip.blocks[-1].dense == DenseOptions("naclip", residual=False, mlp=False)
    assert "attention='naclip', residual=False" in repr(clip)
    # The grid of each pass, and not of the model.
    wide, high = images, images.transpose(2, 3)
    assert not torch.equal(clip.forward_features(wide)[:, 1:], clip.forward_features(high)[:, 1:])


def test_window__of_two_patches_is_the_gaussian_of_their_distance():
    window = gaussian_window((2, 3), torch.zeros(1))
    assert window.shape == (6, 6)
    assert window.diagonal().eq(1).all()
    torch.testing.assert_close(window[0, 5], torch.tensor(-5 / 50).exp())  # (0, 0) and (1, 2)
    torch.testing.assert_close(window[2, 3], torch.tensor(-5 / 50).exp())  # (0, 2) and (1, 0)


def test_what_cannot_be_is_explained(make_vit, clip, images):
    with pytest.raises(InputError, match="last_block='mask': expected 'own', 'value', 'naclip'"):
        set_last_block(clip, "mask")
    with pytest.raises(InputError, match="attention of the last block 'qqq'"):
        change_last_block(clip, "qqq")
    with pytest.raises(InputError, match="blocks have no LayerScale, and block 3 has one"):
        set_last_block(make_vit(), "value")
    change_last_block(clip, "qq")
    change_last_block(clip, "qq")  # the same again
    with pytest.raises(InputError, match=r"attention='qq', .* already.*attention='value'"):
        change_last_block(clip, "value")
    with pytest.raises(InputError, match="takes no mask"):
        clip.blocks[-1](torch.zeros(1, 16, 32), attn_mask=torch.zeros(16, 16))
    changed = make_vit(init_values=None)
    change_patches(changed, 3, PatchChange, {})
    with pytest.raises(InputError, match="block 3 is changed by a repair already"):
        change_last_block(changed, "qq")
    constants = make_vit(init_values=None)
    add_constant_tokens(constants, {1: [2]}, torch.zeros(4, 2, 1, 16), torch.zeros(4, 2, 1, 16))
    with pytest.raises(InputError, match=r"constant keys and values .* set register_keys=False"):
        change_last_block(constants, "sclip")
    change_last_block(constants, "sclip", register_keys=False)
    constants.forward_features(images)
