"""The authors' form, image by image, gives what the batched edit gives."""

import copy

import pytest
import torch
from timm.layers import GluMlp

from ttr_backbones.backbones import create_vit
from ttr_backbones.bench.authors_form import AuthorsForm
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers


def as_maps(vit, images):
    (maps,) = vit.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)
    return maps


@pytest.mark.parametrize(
    "options", [{}, {"pre_norm": True}, {"reg_tokens": 2, "no_embed_class": True}]
)
@torch.no_grad()
def test_authors_form__equals_the_layer_peak_with_cls_kept(make_vit, images, layers, options):
    vit = make_vit(**options)
    layers = {1: [3, 100], 3: [0, 7, 9]}
    theirs = AuthorsForm(copy.deepcopy(vit), layers)(images)
    plain = as_maps(vit, images)
    ours = as_maps(add_test_time_registers(vit, layers, peak="layer", keep_cls=True), images)
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
    assert (ours - plain).abs().max() > 1e-3, "the register does something"


@torch.no_grad()
def test_authors_form__equals_ours_on_the_real_vit(tiny_weights, photos):
    vit = create_vit("vit_tiny_patch16_224", checkpoint=tiny_weights)
    layers = RegisterNeurons.bundled("vit_tiny_patch16_224").layers
    images = photos(224)[:3]
    theirs = AuthorsForm(copy.deepcopy(vit), layers)(images)
    ours = as_maps(add_test_time_registers(vit, layers, peak="layer", keep_cls=True), images)
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)


def test_authors_form__takes_no_gated_mlp(make_vit):
    vit = make_vit(mlp_layer=GluMlp)
    with pytest.raises(InputError, match=r"block 1 has a GluMlp: the authors' hook"):
        AuthorsForm(vit, {1: [0]})
