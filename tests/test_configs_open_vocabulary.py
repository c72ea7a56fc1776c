"""The protocols of open-vocabulary segmentation: methods times data sets, number by number."""

import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmseg.registry import DATASETS, TRANSFORMS

import ttr_backbones.datasets  # noqa: F401 -- registers
from ttr_backbones.recipes import (
    RecipeName,
    data_files,
    method_files,
    parse_name,
    protocol_facts,
    recipe,
)

SETS = ("voc21", "voc20", "context60", "context59", "coco_object", "coco_stuff")
SETS = (*SETS, "cityscapes", "ade20k")
# Short side, crop, stride, scale, prob_thd of most sets, and what is special.
PUBLISHED = {
    "sclip": (
        (336, 224, 112, 40, 0),
        {
            "voc21": (336, 224, 112, 65, 0.1),
            "context60": (336, 224, 112, 50, 0.1),
            "coco_object": (336, 224, 112, 50, 0.1),
            "coco_stuff": (448, 224, 112, 40, 0),
            "cityscapes": (560, 224, 112, 40, 0),
        },
    ),
    "naclip": (
        (336, 224, 112, 40, 0),
        {
            "voc21": (336, None, None, 40, 0.1),
            "voc20": (336, None, None, 40, 0),
            "context60": (336, 224, 112, 40, 0.1),
            "coco_object": (336, 224, 112, 40, 0.1),
            "cityscapes": (560, 224, 112, 40, 0),
        },
    ),
    "clearclip": (
        (448, 448, 224, 50, 0),
        {
            "voc21": (448, 448, 224, 50, 0.5),
            "context60": (448, 448, 224, 50, 0.15),
            "coco_object": (448, 448, 224, 50, 0.4),
            "cityscapes": (448, 224, 224, 50, 0),
        },
    ),
    "phreg": (
        (448, 336, 112, 40, 0),
        {
            "voc21": (448, 336, 112, 40, 0.1),
            "voc20": (336, 336, 112, 40, 0),
            "context60": (448, 336, 112, 40, 0.1),
            "coco_object": (336, 336, 112, 40, 0.1),
            "cityscapes": (560, 224, 112, 40, 0),
        },
    ),
}
ALONE = {"residual": False, "mlp": False}
LAST_BLOCKS = {
    "vanilla": {"attention": "vanilla"},
    "maskclip": {"attention": "value"},
    "sclip": {"attention": "sclip"},
    "clearclip": {"attention": "qq", **ALONE},
    "naclip": {"attention": "naclip", **ALONE},
    "naclip_pamr": {"attention": "naclip", **ALONE},
    "phreg": {"attention": "value", **ALONE},
}


@pytest.mark.parametrize("method", PUBLISHED)
def test_numbers_are_those_of_the_released_configs(method):
    usual, special = PUBLISHED[method]
    for data in SETS:
        config = recipe(f"clip_vitb16_{method}_{data}")
        model, steps = config.model, config.test_dataloader.dataset.pipeline
        found = (*(model.get(key) for key in ("crop", "stride", "logit_scale")),)
        found = (steps[1].scale[1], *found, model.get("prob_thd", 0))
        assert found == special.get(data, usual), (method, data)
        assert steps[1].scale[0] == 2048
        assert model.get("fit", "stretch") == ("pad" if method == "clearclip" else "stretch")
        assert model.get("area_thd", 0) == (0.1 if (method, data) == ("sclip", "voc21") else 0)
        assert "pamr" not in model
        assert (model.backbone.pos_embed, model.backbone.final_norm) == ("dinov2", True)
        assert config.test_dataloader.batch_size == 1


def test_methods__last_blocks_and_pamr():
    assert {*method_files()} == {*LAST_BLOCKS}
    for method, last_block in LAST_BLOCKS.items():
        assert recipe(f"{method}_ade20k").model.last_block == last_block
    with_pamr, without = recipe("naclip_pamr_voc21"), recipe("naclip_voc21")
    assert with_pamr.model.pop("pamr") == {"steps": 10, "dilations": (8, 16)}
    assert with_pamr.model.to_dict() == without.model.to_dict()


@pytest.mark.parametrize("method", method_files())
def test_a_method_is_a_runnable_file_of_plain_mmengine(method):
    alone = Config.fromfile(method_files()[method], format_python_code=False)
    assert alone.to_dict() == recipe(f"{method}_voc21").to_dict()
    assert not {"backbone", "facts", "data", "text", "numbers", "protocol"} & alone.keys()


@pytest.mark.parametrize("data", data_files())
def test_data_sets__load_and_name_what_is_missing(data, tmp_path):
    config = recipe(f"sclip_{data}")
    dataset = config.test_dataloader.dataset
    assert DATASETS.get(dataset.type) is not None
    Compose([TRANSFORMS.build(step) for step in dataset.pipeline])
    classes = DATASETS.get(dataset.type).METAINFO["classes"]
    load = dataset.pipeline[2]
    assert load.num_classes == len(classes)
    assert load.reduce_zero_label == (data in ("voc20", "context59", "ade20k", "classifier_voc20"))


def test_names__method_and_data_set_compose():
    assert parse_name("clip_vitb16_ttr_naclip_pamr_voc21") == RecipeName(
        "clip_vitb16", "ttr", "naclip_pamr_voc21"
    )
    assert parse_name("clip_vitb16_ph_reg_phreg_voc21").repair == "ph_reg"
    assert parse_name("sclip_ade20k").backbone == "clip_vitb16"
    assert protocol_facts("sclip_voc21").title == "SCLIP, VOC 2012, 21 classes"
    # Every method runs alike on rows of a classifier.
    for method in method_files():
        model = recipe(f"augreg_vitt16_{method}_classifier_voc20").model
        assert (model.crop, model.logit_scale, model.prob_thd, model.pamr) == (None, 1, 0, None)
        assert model.text.rows.dog == [(151, 268)]
