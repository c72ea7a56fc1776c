"""Patches in the space of texts: where a model puts what it pools."""

import pytest
import torch
from hf_options import BASE, MLP

from ttr_backbones.errors import InputError
from ttr_backbones.vits.dense_last_block import change_last_block
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.text_space import head_width, project_patches, text_projection


@torch.no_grad()
def test_clip_of_transformers__cls_goes_where_its_embedding_is():
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(**BASE, **MLP, projection_dim=12)
    vit = transformers.CLIPVisionModelWithProjection(config).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(0))
    tokens = family_of(vit).final_tokens(vit, images)
    found = project_patches(vit, tokens)
    assert found.shape == (2, 17, 12)
    torch.testing.assert_close(found[:, 0], vit(images).image_embeds)
    with pytest.raises(InputError, match=r"is for timm's VisionTransformer .* CLIPEncoderLayer"):
        change_last_block(vit, "sclip")
    change_last_block(vit)  # vanilla runs on all


def test_what_has_no_such_space_is_refused(make_vit):
    for options, message in [
        ({}, r"has a classifier: .* takes a CLIP with its projection"),
        ({"num_classes": 0, "pre_norm": True}, "no projection to texts"),
        (
            {"num_classes": 0, "global_pool": "map", "class_token": False},
            r"pools by attention \(as SigLIP",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            text_projection(make_vit(**options))


def test_head_width__of_names_that_timm_knows():
    assert head_width("vit_base_patch16_clip_quickgelu_224.openai") == 512
    assert head_width("vit_tiny_patch16_224.augreg_in21k_ft_in1k") == 1000
    assert head_width("hf:openai/clip-vit-base-patch16") is None
