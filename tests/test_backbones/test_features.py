"""`TimmViT.features`: maps, CLS and the image's embedding, as timm gives them, from one pass."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.vits.reader import Site, reading

SMALL = {"depth": 3, "embed_dim": 32, "num_heads": 2, "img_size": 32}
MODELS = {
    "cls": ("vit_tiny_patch16_224", {}),
    "trained registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 28}),
    "projection": ("vit_base_patch16_clip_quickgelu_224.openai", {"num_classes": 24}),
    "mean, its norm behind it": ("vit_tiny_patch16_224", {"global_pool": "avg"}),
    "attention pool, no CLS": ("vit_base_patch16_siglip_224", {}),
}
REPAIR = {"type": "test_time", "neurons": {1: [3, 5]}, "num": 2}


def make(model, kwargs, **options):
    torch.manual_seed(0)
    norm = kwargs.get("global_pool") != "avg"
    kwargs = {**SMALL, **kwargs}
    return TimmViT(model, model_kwargs=kwargs, final_norm=norm, pos_embed="timm", **options)


def images_of(backbone):
    h, w = backbone.patch_size
    return torch.randn(2, 3, 3 * h, 2 * w, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("repair", [None, REPAIR])
@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_features__equal_what_timm_gives(kind, repair):
    backbone = make(*MODELS[kind], out_indices=(0, -1), repair=repair)
    vit, x, passes = backbone.vit, images_of(backbone), []
    with reading(vit, {Site(0): passes.append}):
        features = backbone.features(x)
    assert len(passes) == 1
    tokens = vit.forward_features(x)
    torch.testing.assert_close(features.pooled, vit.forward_head(tokens), rtol=0, atol=0)
    if vit.has_class_token:
        assert torch.equal(features.cls, tokens[:, 0])
    else:
        assert features.cls is None
    assert all(torch.equal(a, b) for a, b in zip(features.maps, backbone(x), strict=True))
    assert not any(each.is_inference() for each in (*features.maps, features.pooled))


@torch.no_grad()
def test_features__pooled_is_no_scores_of_classes():
    backbone = make("vit_tiny_patch16_224", {"num_classes": 5})
    x = images_of(backbone)
    expected = backbone.vit.forward_head(backbone.vit.forward_features(x), pre_logits=True)
    assert torch.equal(backbone.features(x).pooled, expected)
    unpooled = make("vit_tiny_patch16_224", {"global_pool": ""})
    assert unpooled.features(x).pooled is None


def test_features__go_on_behind_the_blocks_that_maps_need():
    backbone = make("vit_tiny_patch16_224", {}, out_indices=(0,), facet="key", frozen=False)
    features = backbone.features(images_of(backbone))
    features.cls.sum().backward()
    assert backbone.vit.blocks[2].mlp.fc2.weight.grad is not None
    with pytest.raises(ValueError, match=r"expected images \[B, 3, H, W\]"):
        backbone.features(torch.zeros(3, 32, 32))
