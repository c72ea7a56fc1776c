"""The protocols of object discovery: LOST as published, on every data set."""

import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope

import ttr_backbones.datasets  # noqa: F401 -- registers
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.recipes import axis_files, recipe


@pytest.mark.parametrize("name", axis_files("backbones"))
def test_lost__takes_the_last_block_of_every_backbone(name):
    from mmseg.registry import MODELS, VISUALIZERS

    import ttr_backbones.backbones
    import ttr_backbones.object_discovery
    import ttr_backbones.tasks.drawing.box_visualizer  # noqa: F401

    init_default_scope("mmseg")
    config = recipe(f"{name}_lost_voc07")
    config.model.backbone.update(pretrained=False, checkpoint=None)
    with torch.device("meta"):
        backbone = MODELS.build(config.model).backbone
    assert (backbone.pad, backbone.crop) == ("corner", False)
    assert backbone.out_indices == (len(backbone.vit.blocks) - 1,)
    # The values of a CLIP and of a classifier, as the paper's table 5; the keys of the others.
    classifies = name.startswith(("augreg", "clip", "deit3", "dfn2b", "openclip", "pe_core"))
    assert backbone.facet == ("value" if classifies else "key")
    assert VISUALIZERS.get(config.visualizer.type) is not None


@pytest.mark.parametrize("name", ["voc07", "voc12", "coco20k", "folder"])
def test_data_sets__build_and_name_what_is_missing(name, tmp_path):
    init_default_scope("mmseg")
    config = recipe(f"augreg_vitt16_lost_{name}").test_dataloader.dataset
    config.data_root = str(tmp_path)
    with pytest.raises((MissingFileError, InputError), match=str(tmp_path)):
        DATASETS.build(config)


def test_protocol__of_lost():
    config = recipe("dino_vits16_lost_voc07")
    assert config.model.method == {"type": "lost", "k": 100, "bias": 0.0, "normalize": False}
    assert config.model.backbone.pos_embed == "dinov2"  # DINO's own way
    steps = [step.type for step in config.test_dataloader.dataset.pipeline]
    assert steps == ["LoadImage", "LoadBoxes", "PackBoxInputs"]  # no resize
    assert config.test_dataloader.dataset.hard is True
    assert config.test_dataloader.dataset.ann_file == "ImageSets/Main/trainval.txt"
    assert config.test_dataloader.batch_size == 1
    coco = recipe("dino_vits16_lost_coco20k").test_dataloader.dataset
    assert (coco.ann_file, coco.list_file) == (
        "annotations/instances_train2014.json",
        "coco_20k_filenames.txt",
    )
