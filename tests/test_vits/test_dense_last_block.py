"""The last block as attention alone: by hand, with registers beside it, and off again."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import unmix_all
from ttr_backbones.vits.dense_last_block import gaussian_window, set_last_block
from ttr_backbones.vits.learned_registers import add_learned_registers


@pytest.fixture
def clip(make_vit):
    return make_vit(init_values=None, pre_norm=True)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["value", "naclip"])
def test_by_hand(clip, images, kind):
    before = clip.forward_features(images)
    x = clip.forward_intermediates(
        images, [2], output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
    )[0]
    x = torch.cat([x[1], x[0]], dim=1)
    block = clip.blocks[-1]
    _, key, value = block.attn.qkv(block.norm1(x)).chunk(3, dim=2)
    if kind == "naclip":
        heads = []
        for k, v in zip(key.chunk(2, dim=2), value.chunk(2, dim=2), strict=True):
            scores = k @ k.transpose(1, 2) * 16**-0.5
            for i in range(16):
                for j in range(16):
                    square = (i // 4 - j // 4) ** 2 + (i % 4 - j % 4) ** 2
                    scores[:, 1 + i, 1 + j] += torch.tensor(-square / 50).exp()
            heads.append(scores.softmax(dim=2) @ v)
        value = torch.cat(heads, dim=2)
    expected = clip.norm(block.attn.proj(value))
    set_last_block(clip, kind)
    torch.testing.assert_close(clip.forward_features(images), expected)
    unmix_all(clip)
    assert torch.equal(clip.forward_features(images), before)


@torch.no_grad()
def test_registers_have_no_place_in_the_window(clip, images):
    """Registers of zero weight in attention: here they only must not shift the patches."""
    add_learned_registers(clip, torch.randn(3, 32))
    set_last_block(clip, "naclip")
    assert clip.blocks[-1].dense["first_patch"] == 4
    assert clip.forward_features(images).shape == (2, 17, 32)


def test_what_cannot_be_is_explained(make_vit, clip, images):
    with pytest.raises(InputError, match="last_block='mask': expected 'own', 'value', 'naclip'"):
        set_last_block(clip, "mask")
    with pytest.raises(InputError, match="blocks have no LayerScale, and block 3 has one"):
        set_last_block(make_vit(), "value")
    with pytest.raises(InputError, match="square grids only, and there are 12 patches"):
        gaussian_window(12, images)
