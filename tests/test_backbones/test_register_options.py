"""The `registers` of a config: what is looked up, what is refused and in which words."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT, create_vit
from ttr_backbones.backbones.register_options import is_auto, look_up, register_options
from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    BakedRegisters,
    RegisterNeurons,
    bake_registers,
    has_test_time_registers,
    num_test_time_registers,
    remove_test_time_registers,
)

MODEL = "vit_tiny_patch16_224"
TINY = f"{MODEL}.augreg_in21k_ft_in1k"
UNLISTED = "vit_small_patch16_224.dino"
SMALL = {"depth": 4, "embed_dim": 32, "num_heads": 2, "img_size": 64}


@pytest.fixture
def baked():
    torch.manual_seed(0)
    vit = create_vit(MODEL, model_kwargs=SMALL)
    return bake_registers(vit, {1: [3]}, torch.randn(2, 3, 64, 64))


def make(registers, **options):
    torch.manual_seed(0)  # the weights that `baked` was made from
    return TimmViT(MODEL, model_kwargs=SMALL, registers=registers, **options)


def test_registers__token_is_the_default_form():
    named = make({"form": "token", "neurons": {1: [3]}, "num": 2})
    assert num_test_time_registers(named.vit) == 2
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(named(x)[0], make({"neurons": {1: [3]}, "num": 2})(x)[0])


def test_registers__bias_from_an_object_and_from_a_file(baked, tmp_path):
    baked.save(tmp_path / "baked.safetensors")
    backbone = make({"form": "bias", "baked": baked})
    from_file = make({"form": "bias", "baked": str(tmp_path / "baked.safetensors")})
    assert has_test_time_registers(backbone.vit)
    assert num_test_time_registers(backbone.vit) == 0
    assert backbone.vit.register_neurons.layers == {1: [3]}
    assert not backbone.state_dict(), "a frozen ViT is in no checkpoint"
    x = torch.randn(2, 3, 40, 60)
    maps = backbone(x)[0]
    assert maps.shape == (2, 32, 3, 4)
    assert torch.equal(from_file(x)[0], maps)
    assert not torch.allclose(make(None)(x)[0], maps, atol=1e-3)
    remove_test_time_registers(backbone.vit)
    assert torch.equal(backbone(x)[0], make(None)(x)[0])


def test_look_up__auto_paths_dicts_and_objects(tmp_path, baked):
    listed = RegisterNeurons.bundled(TINY)
    listed.save(tmp_path / "list.json")
    for given in ("auto", str(tmp_path / "list.json"), tmp_path / "list.json", listed):
        assert look_up(TINY, {"neurons": given}) == listed
    assert look_up(TINY, {"neurons": listed.layers}) == listed
    baked.save(tmp_path / "baked.safetensors")
    for given in (tmp_path / "baked.safetensors", baked):
        assert look_up(TINY, {"form": "bias", "baked": given}).sha256 == baked.sha256
    shipped = BakedRegisters.bundled(TINY)
    for registers in ({"form": "bias"}, {"form": "bias", "baked": "auto"}):
        assert look_up(TINY, registers).sha256 == shipped.sha256


def test_an_option_that_is_none_is_not_given(baked):
    """So --cfg-options can turn a config's registers into the other form."""
    given = {"neurons": None, "form": "bias", "baked": baked, "num": None}
    assert register_options(MODEL, given) == {"form": "bias", "baked": baked}
    given = {"form": None, "baked": None, "neurons": {1: [3]}, "positions": None}
    assert register_options(MODEL, given) == {"neurons": RegisterNeurons(MODEL, {1: [3]})}


def test_is_auto__tells_what_ships_from_what_is_given(baked):
    assert is_auto({"neurons": "auto"})
    assert is_auto({"form": "bias"})
    assert not is_auto({"neurons": "list.json"})
    assert not is_auto({"neurons": {1: [3]}})
    assert not is_auto({"form": "bias", "baked": baked})


def test_doubts_about_a_list__are_told_in_either_form(monkeypatch, baked):
    told = []
    monkeypatch.setattr(
        "ttr_backbones.backbones.register_options.print_log", lambda text, **_: told.append(text)
    )
    doubtful = RegisterNeurons("", {1: [3]}, {"doubt": "found on a Sunday"})
    register_options(MODEL, {"neurons": doubtful})
    provenance = {"neurons": doubtful.provenance}
    constants = BakedRegisters("", {1: [3]}, baked.keys, baked.values, provenance)
    register_options(MODEL, {"form": "bias", "baked": constants})
    assert [text.partition(": ")[2] for text in told] == ["found on a Sunday"] * 2


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ({"form": "bais"}, "unknown form of registers 'bais'. Did you mean 'bias'"),
        ({"form": 1}, "unknown form of registers '1'.*Known: bias, token"),
        ({"form": "bias", "neurons": "auto"}, "'neurons' is an option of form='token'.*ttrb bake"),
        ({"form": "bias", "num": 2}, r"'num' is an option of form='token'.*--num.*num=None"),
        ({"neurons": {1: [2]}, "baked": "auto"}, "'baked' goes with form='bias': add that"),
        ({"form": "bias", "bakd": "auto"}, "unknown option of registers 'bakd'.*'baked'"),
        ({"form": "bias", "baked": "none.safetensors"}, "no baked registers at none.safetensors"),
        ({"form": "bias", "baked": 3}, "baked=3: expected 'auto', a path or BakedRegisters"),
        ({"neurons": 3}, r"neurons=3: expected 'auto', a JSON path, \{block"),
        ({}, "registers needs `neurons`"),
    ],
)
def test_bad_options_are_explained(registers, message):
    with pytest.raises(InputError, match=message):
        register_options(MODEL, registers)


def test_bias__a_model_that_is_trained_is_refused(baked):
    with pytest.raises(InputError, match=r"frozen=False trains.*form='token'"):
        make({"form": "bias", "baked": baked}, frozen=False)


def test_bias__without_a_file_that_ships_the_command_is_told_before_weights_are_fetched():
    with pytest.raises(InputError, match=f"`ttrb bake {UNLISTED} --images DIR --out"):
        TimmViT(UNLISTED, pretrained=True, registers={"form": "bias"})


def test_bias__of_other_weights_is_refused(baked):
    with pytest.raises(InputError, match=r"made from other weights than the model.*`ttrb bake"):
        TimmViT(MODEL, model_kwargs=SMALL, registers={"form": "bias", "baked": baked})


@torch.no_grad()
def test_bias__works_for_the_real_vit_by_name(tiny_weights, photos):
    options = {"checkpoint": tiny_weights, "out_indices": (-1,)}
    x = photos(224)
    bias = TimmViT(TINY, registers={"form": "bias"}, **options)(x)[0]
    token = TimmViT(TINY, registers={"neurons": "auto"}, **options)(x)[0]
    plain = TimmViT(TINY, **options)(x)[0]
    cosine = torch.cosine_similarity(bias, token)
    assert cosine.mean() > 0.995
    assert torch.cosine_similarity(plain, token).mean() < 0.98
