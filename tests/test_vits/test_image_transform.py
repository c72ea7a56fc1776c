"""Models that transform their input images: views, and a ring."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.repairs import REPAIRS, apply_repair, remove_repair
from ttr_backbones.repairs.ph_reg.features import dense_features
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.register_tokens import forward_with_registers
from ttr_backbones.vits.shifted_views import average_back, view_images

KINDS = ["ring", "average_views"]


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))


def repaired(vit, kind, **options):
    return apply_repair(vit, REPAIRS[kind].shipped(""), **options)


@torch.no_grad()
def test_ring__is_a_padded_image_without_its_border(make_vit, images):
    vit = make_vit()
    padded = torch.nn.functional.pad(images, (32, 32, 32, 32))
    expected = vit.forward_features(padded)
    inside = expected[:, 1:].unflatten(1, (8, 10))[:, 2:-2, 2:-2].flatten(1, 2)
    found = repaired(vit, "ring", width=2).forward_features(images)
    torch.testing.assert_close(found, torch.cat([expected[:, :1], inside], dim=1))


@torch.no_grad()
def test_average_views__is_the_average_of_the_views(make_vit, images):
    vit = make_vit()
    plain = make_vit()
    averaged = repaired(vit, "average_views", views=4, shift=0.3)
    made = view_images(images, averaged.views, (16, 16), averaged.view_fill)
    assert torch.equal(made[::4], images)
    expected = average_back(dense_features(plain, made, projected=False), averaged.views, (4, 6))
    found = averaged.forward_features(images)
    torch.testing.assert_close(found[:, 1:], expected)
    torch.testing.assert_close(found[:, :1], plain.forward_features(images)[:, :1])
    one = repaired(make_vit(), "average_views", views=1)
    torch.testing.assert_close(one.forward_features(images), plain.forward_features(images))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reg_tokens", [0, 4])
def test_every_way_to_run_gives_the_same_and_what_shape_it_gave(make_vit, images, kind, reg_tokens):
    vit = make_vit(reg_tokens=reg_tokens)
    shapes = [part.shape for part in vit.forward_intermediates(images)[1]]
    repaired(vit, kind)
    final, maps = vit.forward_intermediates(images, norm=True)
    assert [part.shape for part in maps] == shapes
    tokens = vit.forward_features(images)
    assert torch.equal(final, tokens)
    flat = maps[-1].flatten(2).transpose(1, 2)
    assert torch.equal(flat, tokens[:, 1 + reg_tokens :])
    (taken,) = vit.get_intermediate_layers(images, norm=True)
    assert torch.equal(taken, flat)
    assert torch.equal(vit(images), vit.forward_head(tokens))
    final, (parts,) = forward_with_registers(vit, images, [-1])
    assert (parts.prefix.shape[1], parts.registers.shape[1]) == (1 + reg_tokens, 0)
    seen = {}
    sites = {
        Site(None): lambda x: seen.update(patches=x),
        Site(3): lambda x: seen.update(output=x),
    }
    with reading(vit, sites):
        vit(images)
    assert seen["patches"].shape == (2, 4, 6, 32)
    assert torch.equal(seen["output"][:, -24:], parts.patches)
    singles = torch.cat([vit.forward_features(image[None]) for image in images])
    torch.testing.assert_close(tokens, singles, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facet", ["token", "key"])
def test_backbone__takes_the_same_maps_and_removes_it_bit_for_bit(images, kind, facet):
    options = {"img_size": 64, "depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
    torch.manual_seed(0)
    backbone = TimmViT("vit_tiny_patch16_224", model_kwargs=options, facet=facet)
    (before,) = backbone(images)
    apply_repair(backbone.vit, REPAIRS[kind].shipped(""))
    (found,) = backbone(images)
    assert found.shape == before.shape
    assert not torch.equal(found, before)
    if facet == "token":
        expected = backbone.vit.forward_intermediates(images, [-1], norm=True)[1][0]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert backbone.features(images).cls.shape == (2, 32)
    remove_repair(backbone.vit)
    assert torch.equal(backbone(images)[0], before)


def test_what_cannot_be_is_explained(make_vit, images):
    for options, kind, message in (
        ({"width": 0}, "ring", "width=0: expected the patches"),
        ({"views": 0}, "average_views", "views=0"),
        ({"fill": "grey"}, "average_views", "fill='grey'"),
    ):
        with pytest.raises(InputError, match=message):
            repaired(make_vit(), kind, **options)
    with pytest.raises(InputError, match="images of one size only"):
        repaired(make_vit(dynamic_img_size=False), "ring")
    averaged = repaired(make_vit(dynamic_img_pad=True), "average_views")
    with pytest.raises(InputError, match="of 64 x 90 pixels cannot be shifted"):
        averaged(images[:, :, :, :90])
    mask = torch.ones(2, 1, 25, 25, dtype=torch.bool)
    for run in (averaged.forward_features, averaged.forward_intermediates):
        with pytest.raises(InputError, match="leave attn_mask out"):
            run(images, attn_mask=mask)
