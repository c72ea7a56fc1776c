"""A `TimmViT` with a feature cache: what it gives is what it gives without, from disk or not."""

from __future__ import annotations

import copy

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.cached import cache_features
from ttr_backbones.errors import InputError
from ttr_backbones.registers import add_test_time_registers, remove_test_time_registers

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture
def make(tiny_weights, tmp_path):
    def made(*, cached=True, **options):
        backbone = TimmViT(TAG, checkpoint=tiny_weights, **options).eval()
        return cache_features(backbone, tmp_path / "cache") if cached else backbone

    return made


def same(given, expected):
    for one, other in zip(given, expected, strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride(), "the layout decides how a head rounds"


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"out_indices": (3, 11), "cls_token": "concat"},
        {"facet": "key"},
        {"crop": True},
        {"repair": {"type": "test_time", "neurons": "auto"}},
    ],
    ids=str,
)
def test_with_and_without_a_cache_are_bit_for_bit_the_same(make, photos, batch, options):
    x = photos(72)[:batch]
    backbone = make(**options)
    plain = make(cached=False, **options)(x)
    same(backbone(x), plain)
    same(backbone(x), plain)
    assert backbone.feature_cache.counts[:2] == (batch, batch)
    assert all(not one.is_inference() for one in backbone(x))


def test_what_is_kept_is_not_mixed_up(make, photos):
    x = photos(64)[:2]
    for options in ({}, {"final_norm": False}, {"out_indices": (3,)}, {"facet": "value"}):
        same(make(**options)(x), make(cached=False, **options)(x))
    backbone, plain = make(), make(cached=False)
    blocks = backbone.facets(x, [2, -1], ["query", "token"])
    same(blocks.values(), plain.facets(x, [2, -1], ["query", "token"]).values())
    add_test_time_registers(backbone.vit, {6: [189], 7: [417]})
    assert not torch.equal(backbone(x)[0], plain(x)[0])
    remove_test_time_registers(backbone.vit)
    same(backbone(x), plain(x))


def test_training_and_whoever_looks_inside_make_a_pass(make, photos):
    x = photos(64)[:1]
    backbone = make()
    backbone(x)
    backbone.train()(x)
    seen = []
    handle = backbone.eval().vit.blocks[3].register_forward_hook(lambda *_: seen.append(1))
    backbone(x)
    assert seen == [1]
    assert backbone.feature_cache.counts[:2] == (0, 1)
    handle.remove()
    backbone(x)
    assert backbone.feature_cache.counts[:2] == (1, 1)


def test_a_copy_describes_itself(make, photos):
    x = photos(64)[:1]
    backbone = make()
    other = copy.deepcopy(backbone)
    add_test_time_registers(other.vit, {6: [189], 7: [417]})
    assert not torch.equal(other(x)[0], backbone(x)[0])


def test_a_backbone_that_is_trained_has_none(make):
    with pytest.raises(InputError, match=r"a feature cache .* frozen"):
        make(frozen=False)
