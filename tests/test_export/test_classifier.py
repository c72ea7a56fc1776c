"""A classifier of whole images: the graph is the model, with the names of the classes."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ttr_backbones.errors import InputError
from ttr_backbones.export import load_exportable
from ttr_backbones.export.check import compare
from ttr_backbones.export.graph import ModelGraph
from ttr_backbones.export.metadata import about
from ttr_backbones.export.trace import trace
from ttr_backbones.recipes import recipe

BACKBONE = {
    "type": "TimmViT",
    "model": "vit_tiny_patch16_224",
    "model_kwargs": {
        "img_size": (64, 96),
        "depth": 2,
        "embed_dim": 32,
        "num_heads": 2,
        "init_values": 1.0,
    },
    "repair": {"type": "test_time", "neurons": {0: [3, 70], 1: [7]}},
    "out_indices": (0, 1),
    "pad": "center",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """linear_imagenet with a small model of two blocks: CLS of both, and the mean patch."""
    folder = tmp_path_factory.mktemp("classes")
    for name in ("train/hen", "train/ox", "val/hen", "val/ox"):
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "a.png"), np.zeros((40, 40, 3), np.uint8))
    cfg = recipe("linear_imagenet")
    cfg.model.backbone = Config({"backbone": BACKBONE}).backbone
    cfg.model.decode_head.update(in_channels=[32, 32], num_classes=2)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(folder)
    (folder / "config.py").write_text(cfg.pretty_text)
    init_default_scope("mmseg")
    torch.manual_seed(1)
    state = MODELS.build(cfg.model).state_dict()
    torch.save({name: tensor.normal_() for name, tensor in state.items()}, folder / "head.pth")
    return folder / "config.py"


@pytest.mark.nightly
@pytest.mark.exports
def test_graph__equals_the_model_at_one_size_and_at_any(config, random_images):
    exportable = load_exportable(str(config), config.with_name("head.pth"))
    vit = exportable.backbone.vit
    torch.nn.init.normal_(dict(vit.named_parameters())["pos_embed"], std=0.5)
    assert exportable.outputs == ["logits"]
    assert exportable.size == (224, 224), "what the test's pipeline makes of every photograph"
    images = random_images(3, 64, 96)
    samples = [{"inputs": list(images.flip(1))}]
    scores = exportable.model(exportable.model.data_preprocessor(samples[0])["inputs"])
    assert torch.equal(exportable.eager(images)["logits"], scores)
    for size in ((64, 96), None):
        (found,) = ModelGraph(exportable, size)(images).values()
        torch.testing.assert_close(found, scores, rtol=1e-4, atol=1e-4)
    program = trace(exportable, size=(64, 96))
    (difference,) = compare(program.module(), exportable.eager, [(5, 3, 64, 96)])
    assert str(difference).endswith("100 % of the images have the same class")
    facts = about(exportable, (64, 96), None)
    assert json.loads(facts["classes"]) == ["hen", "ox"]
    assert facts["output"].startswith("logits: float32 [B, K]")
    assert "resizing and cropping to 224 x 224 pixels" in facts["not_inside"]


def test_images_of_several_sizes__are_not_said_to_be_resized_to_one(config, tmp_path):
    cfg = Config.fromfile(config)
    steps = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [steps[0], steps[-1]]
    cfg.dump(str(tmp_path / "config.py"))
    exportable = load_exportable(str(tmp_path / "config.py"), config.with_name("head.pth"))
    assert exportable.besides == "what its pipeline does to a photograph"


def test_many_heads__are_exported_one_by_one(config, tmp_path):
    cfg = Config.fromfile(config)
    head, taps = cfg.model.decode_head.to_dict(), [[(0, True), (1, True)]]
    cfg.model.decode_head = {"type": "ProbeHeads", "heads": [head], "taps": taps, "names": ["a"]}
    cfg.model.type = "ProbeClassifier"
    cfg.custom_imports.imports.append("ttr_backbones.probes")
    cfg.dump(str(tmp_path / "config.py"))
    state = torch.load(config.with_name("head.pth"), weights_only=True)
    state = {name.replace("decode_head", "decode_head.heads.0"): t for name, t in state.items()}
    torch.save(state, tmp_path / "heads.pth")
    with pytest.raises(InputError, match=r"ProbeClassifier has many heads.* below probes/"):
        load_exportable(str(tmp_path / "config.py"), tmp_path / "heads.pth")


def test_knn__has_no_head():
    options = ["model.backbone.pretrained=False"]
    with pytest.raises(InputError, match="no head to export"):
        load_exportable("knn_imagenet", cfg_options=options)
