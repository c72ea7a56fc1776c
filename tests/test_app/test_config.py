import argparse

import pytest
from mmengine.config import Config

from ttr_backbones.app.config import apply_options, datasets, load_config, read_config
from ttr_backbones.errors import InputError


@pytest.fixture
def cfg():
    return Config({"model": {"backbone": {"depth": 2, "registers": None}}, "hooks": [{"a": 1}]})


def test_options__override_and_add(cfg):
    apply_options(cfg, ["model.backbone.depth=3", "model.backbone.new=(1,2)", "hooks.0.a=x"])
    apply_options(cfg, ["load_from=a.pth", "model.head.size=4"])
    assert cfg.model.backbone == {"depth": 3, "registers": None, "new": (1, 2)}
    assert (cfg.hooks[0].a, cfg.load_from, cfg.model.head.size) == ("x", "a.pth", 4)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("modle.depth=3", r"unknown config key 'modle'. Did you mean 'model'"),
        ("model", r"expects key.sub=value, got 'model'"),
        ("=3", r"expects key.sub=value, got '=3'"),
        ("hooks.4.a=1", r"Index 4 exceeds the length of list"),
        ("model.backbone.depth.more=1", r"depth is a dict in the child config"),
        ("model.head=dict(size=4, depth=3)", r"cannot be read.*write a dict key by key"),
        ("model.head.size=[1,2", r"cannot be read.*brackets closed"),
    ],
)
def test_options__that_fit_nothing(cfg, option, message):
    with pytest.raises(InputError, match=message):
        apply_options(cfg, [option])


def test_options__note_a_likely_slip(cfg, capsys):
    apply_options(cfg, ["model.backbone.dept=3"])
    assert "the config has no 'dept' there, but it has 'depth'" in capsys.readouterr().err


def arguments(config, **given):
    defaults = {"cfg_options": None, "data_root": None, "work_dir": None, "launcher": "none"}
    return argparse.Namespace(config=str(config), **(defaults | given))


@pytest.mark.parametrize(
    ("in_config", "on_command_line", "expected"),
    [("", None, "work_dirs/a"), ("b", None, "b"), ("b", "c", "c")],
)
def test_work_dir__order(tmp_path, in_config, on_command_line, expected):
    (tmp_path / "a.py").write_text(f"work_dir = {in_config!r}")
    assert load_config(arguments(tmp_path / "a.py", work_dir=on_command_line)).work_dir == expected


WRAPPED = """
leaf = dict(type="ADE20KDataset", data_root="data")
train_dataloader = dict(dataset=dict(type="RepeatDataset", dataset=dict(
    type="ConcatDataset", datasets=[leaf, dict(type="PascalVOCDataset", data_root="voc")])))
val_dataloader = dict(dataset=leaf)
"""


def test_data_root__reaches_every_data_set(tmp_path):
    (tmp_path / "a.py").write_text(WRAPPED)
    cfg = load_config(arguments(tmp_path / "a.py", data_root="/elsewhere"))
    assert [dataset["data_root"] for _, dataset in datasets(cfg)] == ["/elsewhere"] * 3


def test_data_root__that_reaches_nothing_or_not_all(tmp_path, capsys):
    leaf = 'dict(type="A", data_root="", ann_file={!r}, data_prefix=dict(img_path={!r}))'
    text = "train_dataloader = dict(dataset={})\nval_dataloader = dict(dataset={})"
    absolute, mixed = leaf.format("/a.txt", "/images"), leaf.format("a.txt", "/images")
    (tmp_path / "a.py").write_text(text.format(mixed, 'dict(type="A")'))
    cfg = load_config(arguments(tmp_path / "a.py", data_root="/elsewhere"))
    assert cfg.train_dataloader.dataset.data_root == "/elsewhere"
    told = "data_prefix.img_path of train_dataloader is absolute, val_dataloader has no data_root."
    assert f"note: --data-root does not reach all: {told}" in capsys.readouterr().err
    (tmp_path / "a.py").write_text(text.format(absolute, absolute))
    with pytest.raises(InputError, match=r"that it uses: data_prefix\.img_path of train_dataloade"):
        load_config(arguments(tmp_path / "a.py", data_root="/elsewhere"))


def test_data_root__without_any_place_for_it(tmp_path):
    (tmp_path / "a.py").touch()
    with pytest.raises(InputError, match="--data-root: no data set of this config has a data_root"):
        load_config(arguments(tmp_path / "a.py", data_root="/elsewhere"))


def test_options__as_a_dict_or_as_typed():
    name = "augreg_vitt16_linear_ade20k_200it"
    for options in ({"model.test_cfg.mode": "whole"}, ["model.test_cfg.mode=whole"]):
        assert read_config(name, options).model.test_cfg.mode == "whole"
    own = Config({"model": {"type": "X"}})
    assert read_config(own, {"model.type": "Y"}).model.type == "Y"
    assert own.model.type == "X"
    with pytest.raises(InputError, match=r"unknown config key 'modle'. Did you mean 'model'"):
        read_config(own, {"modle.type": "Y"})
    with pytest.raises(InputError, match="has no model"):
        read_config(Config({}), None)
