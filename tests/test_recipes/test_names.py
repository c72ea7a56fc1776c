"""Names of recipes: how they are taken apart, and what is said about wrong ones."""

import functools

import pytest

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.recipes import RecipeName, all_names, parse_name
from ttr_backbones.recipes import names as names_module


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("dinov2_vitl14_linear_ade20k", {}, ("dinov2_vitl14", None, "linear_ade20k")),
        ("dinov2_vitl14_ttr_linear_ade20k", {}, ("dinov2_vitl14", "ttr", "linear_ade20k")),
        ("dinov2_vitl14_reg4_ms_voc2012.py", {}, ("dinov2_vitl14_reg4", None, "ms_voc2012")),
        # A protocol whose name begins with another one's.
        ("augreg_vitt16_linear_ade20k_200it", {}, ("augreg_vitt16", None, "linear_ade20k_200it")),
        # The small backbone that the protocol's file imports, also by way of another protocol.
        ("linear_ade20k", {}, ("augreg_vitt16", None, "linear_ade20k")),
        ("configs/protocols/lost_voc07.py", {}, ("augreg_vitt16", None, "lost_voc07")),
        ("ttr_linear_scenes", {}, ("planted", "ttr", "linear_scenes")),
        ("lost_voc07", {"backbone": "dino_vits16"}, ("dino_vits16", None, "lost_voc07")),
        ("dino_vits16_lost_voc07", {"repair": "bias"}, ("dino_vits16", "bias", "lost_voc07")),
        ("dino_vits16_lost_voc07", {"repair": "test_time"}, ("dino_vits16", "ttr", "lost_voc07")),
        ("dino_vits16_lost_voc07", {"repair": "none"}, ("dino_vits16", None, "lost_voc07")),
        (
            "vit_small_patch16_224.dino_ttr_lost_voc07",
            {},
            ("vit_small_patch16_224.dino", "ttr", "lost_voc07"),
        ),
        ("lost_voc07", {"backbone": "hf-hub:a/b"}, ("hf-hub:a/b", None, "lost_voc07")),
    ],
)
def test_parse_name(name, options, expected):
    assert parse_name(name, **options) == RecipeName(*expected)


def test_names_are_those_of_files_and_come_back(monkeypatch):
    monkeypatch.setattr(names_module, "axis_files", functools.cache(names_module.axis_files))
    names = all_names()
    assert len({str(name) for name in names}) == len(names)
    assert all(parse_name(str(name)) == name for name in names)
    assert str(RecipeName("hf-hub:a/b", "ttr", "lost_voc07")) == "hf-hub_a_b_ttr_lost_voc07"
    assert str(RecipeName("some/where/mine.py", None, "lost_voc07")) == "mine_lost_voc07"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "dinov2_vitx14_linear_ade20k",
            {},
            "unknown backbone 'dinov2_vitx14'. Did you mean .*'dinov2_vits14'",
        ),
        ("dinov2_vitx14_ttr_lost_voc07", {}, "unknown backbone 'dinov2_vitx14'. Did you mean"),
        (
            "dinov2_vits14_ttr_liner_ade20k",
            {},
            "unknown protocol 'liner_ade20k'. Did you mean 'linear_ade20k'",
        ),
        ("lin_ade20k", {}, "no file and no recipe. Did you mean 'linear_ade20k'"),
        ("nothing", {}, "Recipes are called <backbone>"),
        ("lost_voc07", {"backbone": "vit_bas_patch16_224"}, "Did you mean 'vit_base_patch16_224'"),
        ("lost_voc07", {"backbone": "nowhere.py"}, "--backbone nowhere.py: no such file"),
        ("lost_voc07", {"repair": "tttr"}, "unknown repair 'tttr'. Did you mean 'ttr'"),
    ],
)
def test_unknown_parts_are_named_with_the_nearest(name, options, message):
    with pytest.raises(MissingFileError, match=message):
        parse_name(name, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "dino_vits16"},
            "the backbone 'planted' and --backbone asks for 'dino_vits",
        ),
        ({"repair": "bias"}, "names the repair 'ttr' and --repair asks for 'bias': leave one out"),
    ],
)
def test_name_and_options_that_contradict(options, message):
    with pytest.raises(InputError, match=message):
        parse_name("planted_ttr_linear_scenes", **options)
