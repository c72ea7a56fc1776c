"""The `repair` of a config: what is looked up, what is refused and in which words."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT, create_vit
from ttr_backbones.backbones.repair_options import resolve_repair
from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    BakedRegisters,
    RegisterNeurons,
    bake_registers,
    has_test_time_registers,
    num_test_time_registers,
    remove_test_time_registers,
)
from ttr_backbones.repairs import REPAIRS, Artifact, load_repair
from ttr_backbones.repairs.from_config import is_auto, parse_repair, repair_options

MODEL = "vit_tiny_patch16_224"
TINY = f"{MODEL}.augreg_in21k_ft_in1k"
UNLISTED = "vit_small_patch16_224.dino"
LIST = Artifact("test_time", "", {}, {"layers": {"1": [3]}})
SMALL = {"depth": 4, "embed_dim": 32, "num_heads": 2, "img_size": 64}


@pytest.fixture
def baked():
    torch.manual_seed(0)
    vit = create_vit(MODEL, model_kwargs=SMALL)
    return bake_registers(vit, {1: [3]}, torch.randn(2, 3, 64, 64)).artifact


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


def test_repair_options__auto_paths_dicts_and_objects(tmp_path, baked):
    listed = RegisterNeurons.bundled(TINY)
    listed.save(tmp_path / "list.json")
    for given in ("auto", str(tmp_path / "list.json"), tmp_path / "list.json", listed):
        assert repair_options(TINY, {"type": "test_time", "neurons": given}).neurons == listed
    assert repair_options(TINY, {"type": "test_time", "neurons": listed.layers}).neurons == listed
    baked.save(tmp_path / "baked.safetensors")
    for given in (tmp_path / "baked.safetensors", baked):
        assert (
            repair_options(TINY, {"type": "bias", "artifact": given}).artifact.sha256
            == baked.sha256
        )
    shipped = REPAIRS["bias"].shipped(TINY)
    for repair in ({"type": "bias"}, {"type": "bias", "artifact": "auto"}):
        assert repair_options(TINY, repair).artifact.sha256 == shipped.sha256


def test_an_option_that_is_none_is_not_given(baked):
    """So --cfg-options can turn a config's repair into the other one."""
    given = {"neurons": None, "type": "bias", "artifact": baked, "num": None}
    choice = repair_options(MODEL, given)
    assert (choice.repair.type, choice.artifact, choice.options) == ("bias", baked, {})
    given = {"type": "test_time", "artifact": None, "neurons": {1: [3]}, "positions": None}
    choice = repair_options(MODEL, given)
    assert choice.neurons == RegisterNeurons(MODEL, {1: [3]})
    assert (choice.repair.type, choice.options) == ("test_time", {})


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
    resolve_repair(MODEL, {"type": "test_time", "neurons": doubtful})
    provenance = {"neurons": doubtful.provenance}
    constants = BakedRegisters("", {1: [3]}, **baked.tensors, provenance=provenance).artifact
    resolve_repair(MODEL, {"type": "bias", "artifact": constants})
    assert [text.partition(": ")[2] for text in told] == ["found on a Sunday"] * 2


@pytest.mark.parametrize(
    ("repair", "message"),
    [
        ({"type": "bais"}, "unknown type of repair 'bais'. Did you mean 'bias'"),
        ({"type": 1}, "unknown type of repair '1'.*Known: .*bias, .*test_time"),
        ({"neurons": {1: [3]}}, "repair needs `type`, one of .*'bias', .*'test_time'"),
        (
            {"type": "bias", "neurons": "auto"},
            "'neurons' is no option of type='bias' any more: it was fixed when.*ttrb repair bias",
        ),
        (
            {"type": "bias", "num": 2},
            "'num' is no option of type='bias' any more.*ttrb repair bias.*num=None",
        ),
        ({"type": "bias", "keep_cls": True}, "'keep_cls' is an option of type='test_time', not"),
        ({"type": "test_time", "artifact": "auto", "neurons": "auto"}, "or `artifact`.*not both"),
        ({"type": "bias", "artifact": LIST}, "is of type='test_time', expected one of 'bias'"),
        ({"type": "bias", "artefact": "a"}, "unknown option of repair 'artefact'.*'artifact'"),
        ({"type": "bias", "artifact": "none.safetensors"}, "no artifact of a repair at none"),
        ({"type": "bias", "artifact": 3}, "artifact=3: expected 'auto', a path or an Artifact"),
        ({"type": "test_time", "neurons": 3}, r"neurons=3: expected 'auto', a JSON path, \{block"),
        ({"type": "test_time"}, "needs `neurons`"),
    ],
)
def test_bad_options_are_explained(repair, message):
    with pytest.raises(InputError, match=message):
        repair_options(MODEL, repair)


def test_bias__a_model_that_is_trained_is_refused(baked):
    with pytest.raises(InputError, match=r"changes weights.*frozen=False trains.*type='test_time'"):
        make({"type": "bias", "artifact": baked}, frozen=False)


def test_bias__without_a_file_that_ships_the_command_is_told_before_weights_are_fetched():
    with pytest.raises(InputError, match=f"`ttrb repair bias {UNLISTED} --images DIR --out"):
        TimmViT(UNLISTED, pretrained=True, repair={"type": "bias"})


def test_bias__of_other_weights_is_refused(baked):
    with pytest.raises(InputError, match=r"made from other weights than.*`ttrb repair bias"):
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


def test_repair_of_words__names_types_files_and_lists(tmp_path, baked):
    assert parse_repair("none", {"type": "bias"}) is None
    assert (
        parse_repair("ttr") == parse_repair("test_time") == {"type": "test_time", "neurons": "auto"}
    )
    assert parse_repair("bias") == {"type": "bias", "artifact": "auto"}
    assert parse_repair("auto") == {"type": "test_time", "neurons": "auto"}
    own = {"type": "test_time", "neurons": "other.json", "num": 2}
    assert parse_repair("auto", own) == {"type": "test_time", "neurons": "auto", "num": 2}
    file = str(tmp_path / "s.safetensors")
    for artifact in (baked, LIST):
        artifact.save(file)
        assert parse_repair(file, own) == {"type": artifact.type, "artifact": file}
        assert repair_options("", parse_repair(file)).artifact.sha256 == artifact.sha256
    listed = str(tmp_path / "list.json")
    RegisterNeurons("", {1: [3]}).save(listed)
    assert parse_repair(listed, own) == {"type": "test_time", "neurons": listed, "num": 2}
    assert parse_repair(listed, {"type": "bias"}) == {"type": "test_time", "neurons": listed}
    assert load_repair(listed).type == "test_time"
    with pytest.raises(InputError, match=r"unknown repair 'bais'. Did you mean 'bias'.*\.json or"):
        parse_repair("bais")
