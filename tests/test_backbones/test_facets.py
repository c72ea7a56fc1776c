"""Several facets of several blocks from one pass are what one backbone for each would give."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT

OPTIONS = {
    "model": "vit_small_patch14_reg4_dinov2.lvd142m",
    "model_kwargs": {"depth": 4, "embed_dim": 32, "num_heads": 2, "init_values": 1.0},
    "repair": {"type": "test_time", "neurons": {1: [3], 2: [7]}},
}


def make(**options):
    torch.manual_seed(0)
    return TimmViT(**OPTIONS, **options)


@pytest.mark.parametrize(
    "facets", [["key"], ["value", "query", "key"], ["token", "key"], ["token"]]
)
@pytest.mark.parametrize("blocks", [[-1], [1, -2], [3, 0]])
def test_facets_equal_one_backbone_each(facets, blocks):
    x = torch.randn(2, 3, 40, 60)
    many, passes = make(pad="corner"), []
    many.vit.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    maps = many.facets(x, blocks, facets)
    assert len(passes) == 1
    assert set(maps) == {(block % 4, facet) for block in blocks for facet in facets}
    for (block, facet), given in maps.items():
        one = make(pad="corner", out_indices=(block,), facet=facet)
        assert torch.equal(given, one(x)[0])
        assert given.shape == (2, 32, 3, 5)


def test_what_is_not_needed_is_not_run():
    backbone, ran = make(pad="corner"), []
    for index, block in enumerate(backbone.vit.blocks):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    backbone.facets(torch.randn(1, 3, 28, 28), [2], ["key", "value"])
    assert ran == [0, 1]


def test_bad_blocks_and_facets_are_explained():
    x = torch.randn(1, 3, 28, 28)
    with pytest.raises(ValueError, match=r"blocks names block 4, the model has blocks 0\.\.3"):
        make().facets(x, [4], ["key"])
    with pytest.raises(ValueError, match=r"unknown facet 'keys'\. Did you mean 'key'"):
        make().facets(x, [1], ["keys"])
