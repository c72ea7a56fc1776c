"""The `repair` of a config: what is looked up, what is refused and in which words."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT, create_vit
from ttr_backbones.backbones.repair_options import is_auto, look_up, repair_options
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


def make(repair, **options):
    torch.manual_seed(0)  # the weights that `baked` was made from
    return TimmViT(MODEL, model_kwargs=SMALL, repair=repair, **options)


def test_test_time__adds_tokens():
    named = make({"type": "test_time", "neurons": {1: [3]}, "num": 2})
    assert num_test_time_registers(named.vit) == 2


def test_bias__from_an_object_and_from_a_file(baked, tmp_path):
    baked.save(tmp_path / "baked.safetensors")
    backbone = make({"type": "bias", "artifact": baked})
    from_file = make({"type": "bias", "artifact": str(tmp_path / "baked.safetensors")})
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
        assert look_up(TINY, {"type": "test_time", "neurons": given}) == listed
    assert look_up(TINY, {"type": "test_time", "neurons": listed.layers}) == listed
    baked.save(tmp_path / "baked.safetensors")
    for given in (tmp_path / "baked.safetensors", baked):
        assert look_up(TINY, {"type": "bias", "artifact": given}).sha256 == baked.sha256
    shipped = BakedRegisters.bundled(TINY)
    for repair in ({"type": "bias"}, {"type": "bias", "artifact": "auto"}):
        assert look_up(TINY, repair).sha256 == shipped.sha256


def test_an_option_that_is_none_is_not_given(baked):
    """So --cfg-options can turn a config's repair into the other one."""
    given = {"neurons": None, "type": "bias", "artifact": baked, "num": None}
    assert repair_options(MODEL, given) == {"type": "bias", "artifact": baked}
    given = {"type": "test_time", "artifact": None, "neurons": {1: [3]}, "positions": None}
    found = {"type": "test_time", "neurons": RegisterNeurons(MODEL, {1: [3]})}
    assert repair_options(MODEL, given) == found


def test_is_auto__tells_what_ships_from_what_is_given(baked):
    assert is_auto({"type": "test_time", "neurons": "auto"})
    assert is_auto({"type": "bias"})
    assert not is_auto({"type": "test_time", "neurons": "list.json"})
    assert not is_auto({"type": "test_time", "neurons": {1: [3]}})
    assert not is_auto({"type": "bias", "artifact": baked})


def test_doubts_about_a_list__are_told_in_either_form(monkeypatch, baked):
    told = []
    monkeypatch.setattr(
        "ttr_backbones.backbones.repair_options.print_log", lambda text, **_: told.append(text)
    )
    doubtful = RegisterNeurons("", {1: [3]}, {"doubt": "found on a Sunday"})
    repair_options(MODEL, {"type": "test_time", "neurons": doubtful})
    provenance = {"neurons": doubtful.provenance}
    constants = BakedRegisters("", {1: [3]}, baked.keys, baked.values, provenance)
    repair_options(MODEL, {"type": "bias", "artifact": constants})
    assert [text.partition(": ")[2] for text in told] == ["found on a Sunday"] * 2


@pytest.mark.parametrize(
    ("repair", "message"),
    [
        ({"type": "bais"}, "unknown type of repair 'bais'. Did you mean 'bias'"),
        ({"type": 1}, "unknown type of repair '1'.*Known: bias, test_time"),
        ({"neurons": {1: [3]}}, "repair needs `type`, one of 'test_time', 'bias'"),
        (
            {"type": "bias", "neurons": "auto"},
            "'neurons' is an option of type='test_time'.*ttrb bake",
        ),
        ({"type": "bias", "num": 2}, r"'num' is an option of type='test_time'.*--num.*num=None"),
        ({"type": "test_time", "artifact": "auto"}, "'artifact' goes with type='bias': set that"),
        ({"type": "bias", "artefact": "a"}, "unknown option of repair 'artefact'.*'artifact'"),
        ({"type": "bias", "artifact": "none.safetensors"}, "no baked registers at none"),
        ({"type": "bias", "artifact": 3}, "artifact=3: expected 'auto', a path or BakedRegisters"),
        ({"type": "test_time", "neurons": 3}, r"neurons=3: expected 'auto', a JSON path, \{block"),
        ({"type": "test_time"}, "needs `neurons`"),
    ],
)
def test_bad_options_are_explained(repair, message):
    with pytest.raises(InputError, match=message):
        repair_options(MODEL, repair)


def test_bias__a_model_that_is_trained_is_refused(baked):
    with pytest.raises(InputError, match=r"frozen=False trains.*type='test_time'"):
        make({"type": "bias", "artifact": baked}, frozen=False)


def test_bias__without_a_file_that_ships_the_command_is_told_before_weights_are_fetched():
    with pytest.raises(InputError, match=f"`ttrb bake {UNLISTED} --images DIR --out"):
        TimmViT(UNLISTED, pretrained=True, repair={"type": "bias"})


def test_bias__of_other_weights_is_refused(baked):
    with pytest.raises(InputError, match=r"made from other weights than the model.*`ttrb bake"):
        TimmViT(MODEL, model_kwargs=SMALL, repair={"type": "bias", "artifact": baked})


@torch.no_grad()
def test_bias__works_for_the_real_vit_by_name(tiny_weights, photos):
    options = {"checkpoint": tiny_weights, "out_indices": (-1,)}
    x = photos(224)
    bias = TimmViT(TINY, repair={"type": "bias"}, **options)(x)[0]
    token = TimmViT(TINY, repair={"type": "test_time", "neurons": "auto"}, **options)(x)[0]
    plain = TimmViT(TINY, **options)(x)[0]
    cosine = torch.cosine_similarity(bias, token)
    assert cosine.mean() > 0.995
    assert torch.cosine_similarity(plain, token).mean() < 0.98
