"""The contestants do the same work on the same weights, in every variant."""

import pytest
import torch

from ttr_backbones.bench.benched_vit import BenchedVit
from ttr_backbones.bench.contestants import (
    AUTHORS,
    BARE,
    PLAIN,
    TOKEN,
    PlainTimm,
    as_variant,
    make_contestants,
    repaired,
)
from ttr_backbones.bench.variants import VARIANTS, choose_variants
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers
from ttr_backbones.repairs import REPAIRS
from ttr_backbones.vits.class_swap import sharing_copy

BIAS = repaired("bias")

EAGER = VARIANTS["eager"]


def weights_of(model):
    return {parameter.data_ptr() for parameter in model.parameters()}


def test_forms__ours_without_a_register_is_plain_timm(models, images):
    assert list(models)[:3] == [PLAIN, BARE, TOKEN], "the repair that is the default comes first"
    assert set(models) == {PLAIN, BARE, AUTHORS, *map(repaired, REPAIRS)}
    plain, ours = (as_variant(models[name], EAGER)(images) for name in (PLAIN, BARE))
    assert plain.shape == (3, 64, 4, 4)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-6)


def test_forms__each_register_changes_the_maps(models, images):
    maps = {name: as_variant(model, EAGER)(images) for name, model in models.items()}
    for name in (TOKEN, BIAS, AUTHORS):
        assert (maps[name] - maps[PLAIN]).abs().max() > 1e-3
    # One image's peaks are not another's: baked constants and the layer's peak are other numbers.
    assert (maps[TOKEN] - maps[BIAS]).abs().max() > 1e-5


def test_forms__share_their_weights(models):
    shared = weights_of(models[PLAIN])
    for name in (BARE, TOKEN, AUTHORS):
        assert weights_of(models[name]) == shared
    assert len(weights_of(models[BIAS]) - shared) == 2, "the zeroed columns of two blocks"


def test_forms__leave_out_the_authors_where_mlps_are_gated(images):
    kwargs = {"img_size": 64, "patch_size": 16, "depth": 2, "embed_dim": 48, "num_heads": 2}
    backbone = BenchedVit("vit_giant_patch14_dinov2", model_kwargs=kwargs).backbone()
    made = make_contestants(backbone, RegisterNeurons("", {1: [0]}), images)
    assert set(made) == {PLAIN, BARE, *map(repaired, REPAIRS)}


def test_forms__move_as_the_list_says(backbone, layers, images):
    edit = {"peak": "layer", "keep_cls": True}
    neurons = RegisterNeurons("", layers, {"num_registers": 2, "options": edit})
    left_out = {}
    made = make_contestants(backbone, neurons, images, left_out)
    vit = add_test_time_registers(sharing_copy(backbone.vit), neurons, 2, **edit)
    maps = [as_variant(model, EAGER)(images) for model in (made[TOKEN], PlainTimm(vit))]
    torch.testing.assert_close(*maps, atol=1e-6, rtol=1e-6)
    assert BIAS not in made
    assert "the bias form knows keep_cls=False alone" in left_out[BIAS]
    with pytest.raises(InputError, match="the list has keep_cls=True"):
        make_contestants(backbone, neurons, images)


@pytest.mark.parametrize("name", [PLAIN, BARE, TOKEN, BIAS, AUTHORS])
def test_as_variant__gives_the_same_in_another_order_of_memory(models, images, name):
    variant = VARIANTS["channels-last"]
    eager = as_variant(models[name], EAGER)(images)
    last = as_variant(models[name], variant)
    torch.testing.assert_close(last(variant.images(images)), eager, atol=1e-5, rtol=1e-5)
    moved = weights_of(last) - weights_of(models[name])
    assert len(moved) == 1, "the weights of the one convolution"


@pytest.mark.parametrize("name", [PLAIN, BARE, TOKEN, BIAS, AUTHORS])
def test_as_variant__bf16_is_near_and_leaves_the_shared_weights_alone(models, images, name):
    before = as_variant(models[name], EAGER)(images)
    half = as_variant(models[name], VARIANTS["bf16"])
    maps = half(images)
    assert maps.dtype == torch.float32
    assert 1e-4 < (maps - before).abs().max() / before.abs().max() < 0.05
    linear = [p for n, p in half.named_parameters() if n.endswith("fc1.weight")]
    assert {p.dtype for p in linear} == {torch.bfloat16}
    assert torch.equal(as_variant(models[name], EAGER)(images), before)


def test_plain_bf16__equals_ours(models, images):
    """Plain timm has the same numbers as ours, so that a ratio has the register alone in it."""
    plain, ours = (as_variant(models[name], VARIANTS["bf16"])(images) for name in (PLAIN, BARE))
    torch.testing.assert_close(plain, ours, atol=1e-6, rtol=1e-6)


def test_choose_variants__in_the_order_given():
    assert choose_variants(["bf16", "eager", "bf16"]) == [VARIANTS["bf16"], EAGER]
    with pytest.raises(InputError, match=r"unknown variant 'bf-16'\. Did you mean 'bf16'"):
        choose_variants(["bf-16"])
    with pytest.raises(InputError, match="no variant given"):
        choose_variants([])
