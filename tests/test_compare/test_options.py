"""Options for some configs: which they reach, and what is said if they reach none."""

import pytest

from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.errors import InputError

ADE, NYU, LOST = (
    "augreg_vitt16_linear_ade20k_200it",
    "augreg_vitt16_lin1_nyu_200it",
    "augreg_vitt16_lost_voc07",
)


def load_all(options):
    cfgs = {name: options.load(name, name) for name in (ADE, NYU, LOST)}
    options.check_all_used()
    return cfgs


def roots(cfgs):
    return {name: cfg.test_dataloader.dataset.data_root for name, cfg in cfgs.items()}


def test_data_root__plain_for_all_and_scoped_wins_in_any_order():
    options = ConfigChanges(["NYUDepthV2=/nyu", "/all", "*_voc07=/voc"])
    assert roots(load_all(options)) == {ADE: "/all", NYU: "/nyu", LOST: "/voc"}


def test_data_root__a_folder_with_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert set(roots(load_all(ConfigChanges(["a=b"]))).values()) == {"a=b"}
    assert set(roots(load_all(ConfigChanges(["/x/a=b"]))).values()) == {"/x/a=b"}


def test_cfg_options__of_training_leave_out_what_trains_nothing_and_say_so():
    options = ConfigChanges(
        cfg_options=["train_cfg.max_iters=7", "model.backbone.pretrained=False"]
    )
    cfgs = load_all(options)
    assert [cfgs[name].train_cfg.max_iters for name in (ADE, NYU)] == [7, 7]
    assert "train_cfg" not in cfgs[LOST]
    assert not any(cfg.model.backbone.pretrained for cfg in cfgs.values())
    assert options.notes == [
        "The configs were changed by train_cfg.max_iters=7 model.backbone.pretrained=False",
        f"{LOST} trains nothing, so these do not apply to it: train_cfg.max_iters=7",
    ]
    assert ConfigChanges(["/all"]).notes == []


def test_cfg_options__scoped_by_data_set_or_name_and_with_a_colon_in_the_value():
    options = ConfigChanges(
        cfg_options=[
            "NYUDepthV2:model.decode_head.loss_decode.warm_up=3",
            "*_ade20k_*:train_cfg.max_iters=9",
            "model.backbone.checkpoint=https://host/a.pth",
        ]
    )
    cfgs = load_all(options)
    assert cfgs[NYU].model.decode_head.loss_decode.warm_up == 3
    assert "warm_up" not in cfgs[ADE].model.decode_head.loss_decode
    assert (cfgs[ADE].train_cfg.max_iters, cfgs[NYU].train_cfg.max_iters) == (9, 200)
    assert cfgs[LOST].model.backbone.checkpoint == "https://host/a.pth"
    assert not any("do not apply" in note for note in options.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ConfigChanges(["NYUDepthV1=/x"]), r"NYUDepthV1=/x: unknown .*Did you mean 'NYUDepthV2'"),
        (ConfigChanges(cfg_options=["*_coco:a.b=1"]), r"unknown data set type or config '\*_coco'"),
        (
            ConfigChanges(cfg_options=["modle.a=1"]),
            "unknown config key 'modle'. Did you mean 'model'",
        ),
        (ConfigChanges(cfg_options=["train_cfg"]), "expects key.sub=value, got 'train_cfg'"),
    ],
)
def test_option__that_reaches_nothing_is_an_error(options, message):
    with pytest.raises(InputError, match=message):
        load_all(options)


def test_cfg_options__of_training_where_nothing_trains():
    options = ConfigChanges(cfg_options=["train_cfg.max_iters=7"])
    options.load(LOST, LOST)
    with pytest.raises(InputError, match="none of these configs trains anything"):
        options.check_all_used()
