"""The configs of object discovery: all there, each builds, and each says what it reproduces."""

import ast
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.packaged import configs_dir
from ttr_backbones.registers import RegisterNeurons, num_test_time_registers

FOLDER = configs_dir() / "object_discovery"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
TTR = [name for name in NAMES if "_ttr_" in name]
SETS = {"voc07": "VOCBoxes", "voc12": "VOCBoxes", "coco20k": "COCO20k", "folder": "ImageFolder"}


def load(name):
    return Config.fromfile(FOLDER / f"{name}.py", format_python_code=False)


def test_every_promised_combination_is_there():
    models = ["dino_vits16", "deit3_vitb16", "openclip_vitb16", "openclip_vitb16_ttr"]
    models += ["augreg_vitt16", "augreg_vitt16_ttr"]
    models += [f"dinov2_vit{size}14{kind}" for size in "sbl" for kind in ("", "_ttr", "_reg4")]
    expected = {f"{model}_lost_{data}" for model in models for data in list(SETS)[:3]}
    folders = {
        f"{model}{kind}_lost_folder"
        for model in ("dinov2_vitl14", "augreg_vitt16")
        for kind in ("", "_ttr")
    }
    assert set(NAMES) == expected | folders


@pytest.mark.parametrize("name", NAMES)
def test_config__dumps_reloads_and_says_what_it_reproduces(name, tmp_path):
    config = load(name)
    config.dump(tmp_path / "dumped.py")
    again = Config.fromfile(tmp_path / "dumped.py", format_python_code=False)
    assert again.to_dict() == config.to_dict()
    assert "backbone" not in config.to_dict()  # a stray key would invite useless --cfg-options
    assert config.test_dataloader.dataset.type == SETS[name.rpartition("_")[2]]
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    assert "Protocol: LOST as published, with the " in text
    assert re.search(rf"^Test: ttrb test {name}\b", text, re.MULTILINE)
    assert re.search(r"Published CorLoc: none published|    \d\d\.\d in the ", text)


@pytest.mark.parametrize("name", TTR)
def test_ttr_config__is_its_parent_plus_registers(name):
    parent, child = load(name.replace("_ttr_", "_")).to_dict(), load(name).to_dict()
    assert child["model"]["backbone"].pop("registers") == {"neurons": "auto"}
    assert child == parent


@pytest.mark.parametrize("name", [name for name in NAMES if "_voc07" in name])
def test_config__builds_without_weights(name):
    from mmseg.registry import METRICS, MODELS, VISUALIZERS

    import ttr_backbones.object_discovery
    import ttr_backbones.report.box_visualizer  # noqa: F401

    init_default_scope("mmseg")
    config = load(name)
    config.model.backbone.pretrained = False
    with torch.device("meta"):
        model = MODELS.build(config.model)
    backbone = model.backbone
    assert (backbone.pad, backbone.crop) == ("corner", False)
    assert backbone.out_indices == (len(backbone.vit.blocks) - 1,)
    assert backbone.facet == ("key" if name.startswith("dino") else "value")
    own, trained = num_test_time_registers(backbone.vit), 4 if "reg4" in name else 0
    assert (own, backbone.vit.num_reg_tokens) == ("_ttr_" in name, trained)
    if "_ttr_" in name:
        assert backbone.vit.register_neurons == RegisterNeurons.bundled(config.model.backbone.model)
    assert model.state_dict() == {}
    METRICS.build(config.test_evaluator)
    assert VISUALIZERS.get(config.visualizer.type) is not None


@pytest.mark.parametrize("name", ["voc07", "voc12", "coco20k", "folder"])
def test_data_sets__build_and_name_what_is_missing(name, tmp_path):
    init_default_scope("mmseg")
    config = load(f"augreg_vitt16_lost_{name}").test_dataloader.dataset
    config.data_root = str(tmp_path)
    with pytest.raises((MissingFileError, InputError), match=str(tmp_path)):
        DATASETS.build(config)


def test_protocol__of_lost():
    config = load("dino_vits16_lost_voc07")
    assert config.model.method == {"type": "lost", "k": 100, "bias": 0.0, "normalize": False}
    assert config.model.backbone.pos_embed == "dinov2"  # DINO's own way
    steps = [step.type for step in config.test_dataloader.dataset.pipeline]
    assert steps == ["LoadImage", "LoadBoxes", "PackBoxInputs"]  # no resize
    assert config.test_dataloader.dataset.hard is True
    assert config.test_dataloader.dataset.ann_file == "ImageSets/Main/trainval.txt"
    assert config.test_dataloader.batch_size == 1
    coco = load("dino_vits16_lost_coco20k").test_dataloader.dataset
    assert (coco.ann_file, coco.list_file) == (
        "annotations/instances_train2014.json",
        "coco_20k_filenames.txt",
    )
