"""Which config stands for which kind of registers."""

import pytest

from ttr_backbones.compare.experiments import LeftOutError, find_experiments
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.errors import InputError
from ttr_backbones.tasks import TASKS, metric_of

PLAIN = "dinov2_vitl14_linear_ade20k"
OWN = """
model = dict(type="EncoderDecoder", backbone=dict(type={backbone!r}, model={model!r}, {more}))
test_dataloader = dict(dataset=dict(type="ADE20KDataset"))
test_evaluator = [dict(type="FPS"), dict(type="IoUMetric")]
"""


@pytest.fixture
def own(tmp_path):
    """Write a config of the user's."""

    def write(name="mine", backbone="TimmViT", model="vit_tiny_patch16_224", more=""):
        path = tmp_path / f"{name}.py"
        path.write_text(OWN.format(backbone=backbone, model=model, more=more))
        return str(path)

    return write


@pytest.mark.parametrize("mark", ["", "_ttr", "_reg4"])
def test_find__any_config_of_an_experiment_names_it(mark):
    (experiment,) = find_experiments([PLAIN.replace("vitl14", f"vitl14{mark}")])
    assert experiment.name == PLAIN
    assert {kind: str(recipe) for kind, recipe in experiment.configs.items()} == {
        "none": PLAIN,
        "test_time": "dinov2_vitl14_ttr_linear_ade20k",
        "trained": "dinov2_vitl14_reg4_linear_ade20k",
    }


def test_find__configs_of_one_experiment_count_once(own, tmp_path):
    names = [PLAIN, "dinov2_vitl14_ttr_linear_ade20k", own(), own()]
    assert [experiment.name for experiment in find_experiments(names)] == [PLAIN, "mine"]
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text("")
    with pytest.raises(InputError, match="two different configs are called mine"):
        find_experiments([own(), str(other)])


def test_find__a_protocol_with_any_backbone_and_repair(tmp_path):
    (experiment,) = find_experiments(
        ["lost_voc07"], backbone="vit_small_patch14_dinov2.lvd142m", repair="bias"
    )
    assert experiment.name == "vit_small_patch14_dinov2.lvd142m_lost_voc07"
    assert set(experiment.configs) == {"none", "bias"}
    assert experiment.configs["bias"].repair == "bias"
    assert experiment.published("none", "CorLoc") is None
    plain = experiment.config("none", ConfigChanges())
    assert plain.model.backbone.model == "vit_small_patch14_dinov2.lvd142m"
    assert experiment.label(plain) == (
        "vit_small_patch14_dinov2.lvd142m",
        "LOST, VOC 2007 trainval",
    )
    plain.test_dataloader.dataset.ann_file = "mine.txt"
    assert experiment.label(plain)[1] == "LOST, VOC 2007 trainval, ann_file=mine.txt"
    with pytest.raises(LeftOutError, match="no backbone with trained registers"):
        experiment.config("trained", ConfigChanges())


def test_config__of_each_kind():
    (experiment,) = find_experiments([PLAIN])
    backbones = [
        experiment.config(kind, ConfigChanges()).model.backbone
        for kind in ("none", "test_time", "trained")
    ]
    assert [b.repair for b in backbones] == [
        None,
        {"type": "test_time", "neurons": "auto"},
        None,
    ]
    assert [b.model for b in backbones] == [
        "vit_large_patch14_dinov2.lvd142m",
        "vit_large_patch14_dinov2.lvd142m",
        "vit_large_patch14_reg4_dinov2.lvd142m",
    ]
    assert experiment.published("trained", "mIoU").shown == "49.07 ± 0.12"


def test_config__keeps_registers_of_its_own(own):
    (experiment,) = find_experiments(
        [own(more="repair=dict(type='test_time', neurons={1: [2]}, num=2)")]
    )
    assert experiment.config("none", ConfigChanges()).model.backbone.repair is None
    registers = experiment.config("test_time", ConfigChanges()).model.backbone.repair
    assert registers == {"type": "test_time", "neurons": {1: [2]}, "num": 2}
    changed = ConfigChanges(cfg_options=["model.backbone.repair.num=3"])
    assert experiment.config("test_time", changed).model.backbone.repair.num == 3


def test_config__keeps_the_bias_form_where_constants_can_be_had(own):
    (experiment,) = find_experiments([own(more="repair=dict(type='bias')")])
    assert experiment.kinds(ConfigChanges()) == ["none", "bias", "trained"]
    registers = experiment.config("bias", ConfigChanges()).model.backbone.repair
    assert registers == {"type": "bias", "artifact": "auto"}
    unbaked = ConfigChanges(cfg_options=["model.backbone.model=vit_small_patch14_dinov2.lvd142m"])
    with pytest.raises(LeftOutError, match="`ttrb repair bias vit_small_patch14_dinov2"):
        experiment.config("bias", unbaked)


def test_config__an_option_for_registers_reaches_a_config_without_them():
    (experiment,) = find_experiments(["augreg_vitt16_lost_voc07"])
    options = ConfigChanges(cfg_options=["model.backbone.repair.peak=layer"])
    registers = experiment.config("test_time", options).model.backbone.repair
    assert registers == {"type": "test_time", "neurons": "auto", "peak": "layer"}


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("augreg_vitt16_lost_voc07", "trained", "no backbone with trained registers"),
        ("deit3_vitb16_lost_voc07", "test_time", "no register-neuron list ships for"),
    ],
)
def test_config__that_does_not_exist_is_left_out(name, kind, reason):
    (experiment,) = find_experiments([name])
    with pytest.raises(LeftOutError, match=reason):
        experiment.config(kind, ConfigChanges())


def test_config__a_model_with_trained_registers_is_not_one_without(own):
    (experiment,) = find_experiments([own(model="vit_small_patch14_reg4_dinov2")])
    with pytest.raises(LeftOutError, match="reg4_dinov2 has trained registers"):
        experiment.config("none", ConfigChanges())
    assert experiment.config("trained", ConfigChanges()).model.backbone.repair is None


def test_config__of_another_backbone(own):
    (experiment,) = find_experiments([own(backbone="ResNet")])
    with pytest.raises(InputError, match=r"needs model\.backbone\.type='TimmViT'"):
        experiment.config("none", ConfigChanges())


def test_label__of_a_config_that_is_no_recipe(own):
    (experiment,) = find_experiments([own()])
    cfg = experiment.config("none", ConfigChanges())
    assert experiment.label(cfg) == ("vit_tiny_patch16_224", "EncoderDecoder, ADE20KDataset")
    assert not experiment.needs_tta(cfg)
    assert experiment.published("none", "mIoU") is None


def test_metric__is_found_among_evaluators_and_under_a_prefix(own):
    (experiment,) = find_experiments([own()])
    cfg = experiment.config("none", ConfigChanges())
    metric = metric_of(cfg)
    assert metric == TASKS["segmentation"].metric
    assert metric.value({"seg/aAcc": 1.0, "seg/mIoU": 2.5}) == 2.5
    assert metric.shown(2.5, 0.125) == "2.50 ± 0.12"
    assert TASKS["depth"].metric.heading == "RMSE [m], lower is better"
    with pytest.raises(InputError, match="gave mIoU = nan: expected a finite number"):
        metric.value({"mIoU": float("nan")})
    with pytest.raises(InputError, match="gave no mIoU, only aAcc"):
        metric.value({"aAcc": 1.0})
    cfg.test_evaluator = {"type": "FPS"}
    with pytest.raises(InputError, match="test_evaluator of this config has FPS"):
        metric_of(cfg)
