"""Which ViT is measured, and which neurons are moved in it."""

import pytest

from ttr_backbones.bench.benched_vit import BenchedVit
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons

TINY = "vit_tiny_patch16_224"


def layers_of(benched):
    return benched.chosen_neurons(benched.backbone()).layers


def test_layers__given_or_those_that_ship():
    assert layers_of(BenchedVit(TINY)) == {6: [189], 7: [417]}
    assert layers_of(BenchedVit(TINY, neurons=RegisterNeurons("", {0: [1]}))) == {0: [1]}
    with pytest.raises(InputError, match="block 12 does not exist"):
        layers_of(BenchedVit(TINY, neurons=RegisterNeurons("", {12: [1]})))


def test_layers__elsewhere_as_many_as_dinov2_has():
    made = layers_of(BenchedVit("vit_tiny_patch16_384"))
    assert list(made) == [4, 5, 6, 7, 8, 9, 10], "as in DINOv2's ViT-S"
    assert sum(map(len, made.values())) == 21, "it has 19"


def test_layers__of_a_shallow_model(small):
    assert layers_of(BenchedVit(TINY, model_kwargs={**small, "depth": 1})) == {0: [0, 1, 2]}


def test_backbone__may_pool_before_its_norm():
    backbone = BenchedVit(TINY, model_kwargs={"global_pool": "avg"}).backbone()
    assert not backbone.final_norm


def test_backbone__errors_of_the_model_are_told():
    with pytest.raises(InputError, match="Did you mean 'vit_tiny_patch16_224'"):
        BenchedVit("vit_tiny_patch16_225").backbone()


def test_told__names_the_weights(tiny_weights):
    assert BenchedVit(TINY).setting() == {"model": TINY, "weights": "random"}
    assert BenchedVit(TINY, tiny_weights).setting() == {"model": TINY, "weights": str(tiny_weights)}
