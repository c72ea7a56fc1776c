"""`ObjectDiscoverer` on real images with the real ViT: as published, and in mmengine's runner."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.nn import functional as F

import ttr_backbones.evaluation  # noqa: F401 (registers CorLocMetric)
from ttr_backbones.backbones import create_vit
from ttr_backbones.bench.object_discovery import usual_lost
from ttr_backbones.datasets import BoxSample
from ttr_backbones.object_discovery import NoModelWrapper, ObjectDiscoverer
from ttr_backbones.registers import add_test_time_registers, split_tokens

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
REGISTERS = {6: [189], 7: [417]}
SMALL = {
    "type": "TimmViT",
    "model": "vit_tiny_patch16_224",
    "model_kwargs": {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 64},
    "facet": "key",
    "pad": "corner",
}


@pytest.fixture(scope="module")
def voc_images(shared):
    """Two real images of different sizes, uint8 [3, H, W] in BGR."""
    folder = shared / "data" / "VOCdevkit" / "VOC2007" / "JPEGImages"
    images = [torch.from_numpy(cv2.imread(str(f))).permute(2, 0, 1) for f in folder.iterdir()]
    first = images[0]
    return [first, next(image for image in images if image.shape != first.shape)]


def published_way(image, weights, registers, *, bias):
    """LOST's own steps (protocol 6.1) with plain timm: pad, hook qkv, drop the prefix."""
    vit = create_vit(TINY, checkpoint=weights)
    if registers:
        add_test_time_registers(vit, registers)
    height, width = image.shape[1:]
    x = F.pad(image.flip(0) / 127.5 - 1, (0, -width % 16, 0, -height % 16))[None]
    seen = []
    vit.blocks[-1].attn.qkv.register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        vit.forward_features(x)
    keys = split_tokens(vit, seen[0]).patches[0, :, 192:384]
    keys = (keys / keys.norm(dim=1, keepdim=True)).numpy()
    grid = (x.shape[2] // 16, x.shape[3] // 16)
    return usual_lost(keys, grid, (16, 16), (height, width), bias=bias), grid


@pytest.mark.parametrize("registers", [None, REGISTERS])
def test_real_images_give_the_published_boxes(voc_images, tiny_weights, registers):
    backbone = {"type": "TimmViT", "model": TINY, "checkpoint": tiny_weights}
    backbone |= {"facet": "key", "pad": "corner"}
    if registers:
        backbone["repair"] = {"type": "test_time", "neurons": registers}
    method = {"type": "lost", "bias": -0.2, "normalize": True}
    model = MODELS.build({"type": "ObjectDiscoverer", "backbone": backbone, "method": method})
    data = {"inputs": voc_images, "data_samples": [BoxSample(), BoxSample()]}
    results = model.test_step(data)
    for image, sample in zip(voc_images, results, strict=True):
        (box, seed, degrees), grid = published_way(image, tiny_weights, registers, bias=-0.2)
        assert sample.pred_box.tolist() == box
        assert sample.seed == seed
        assert torch.equal(sample.degrees, torch.from_numpy(degrees).reshape(grid))
        assert not sample.collapsed
    assert not model.state_dict()
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_batch_gives_what_each_image_gives(monkeypatch):
    model = ObjectDiscoverer(SMALL, {"type": "lost", "normalize": True, "bias": -0.9})
    generator = torch.Generator().manual_seed(0)
    sizes = [(60, 80), (48, 48), (60, 80)]
    images = [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]
    passes = []
    model.backbone.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))
    together = model.test_step({"inputs": images})
    assert passes == [2, 1], "images of one size go through the backbone together"
    for image, sample in zip(images, together, strict=True):
        alone = model.test_step({"inputs": [image]})[0]
        assert torch.equal(alone.pred_box, sample.pred_box)
        assert torch.equal(alone.degrees, sample.degrees)
        assert sample.degrees.shape == (-(-image.shape[1] // 16), -(-image.shape[2] // 16))


def test_boxes_of_resized_images_are_in_pixels_of_the_original():
    model = ObjectDiscoverer(SMALL, {"type": "tokencut", "tau": 0.9})
    image = torch.randint(256, (3, 60, 80), generator=torch.Generator().manual_seed(0)).byte()
    plain = model.test_step({"inputs": [image]})[0].pred_box
    sample = BoxSample(metainfo={"ori_shape": (120, 200), "img_shape": (60, 80)})
    box = model.test_step({"inputs": [image], "data_samples": [sample]})[0].pred_box
    torch.testing.assert_close(box, plain * torch.tensor([2.5, 2, 2.5, 2]))
    assert (box[2:] <= torch.tensor([200, 120])).all()


def test_collapse_is_counted_and_told_once(monkeypatch):
    told = []
    monkeypatch.setattr(
        "ttr_backbones.object_discovery.model.print_log", lambda text, **_: told.append(text)
    )
    model = ObjectDiscoverer(SMALL, {"type": "lost", "bias": 1e9})
    images = [torch.zeros(3, 64, 64)] * 2
    assert all(sample.collapsed for sample in model.test_step({"inputs": images}))
    model.test_step({"inputs": images})
    assert model.num_collapsed == 4
    assert len(told) == 1
    assert "bias" in told[0]


def test_in_the_runner_without_checkpoint_or_optimizer(voc_images, shared, tmp_path):
    pipeline = [{"type": "LoadImage"}, {"type": "LoadBoxes"}, {"type": "PackBoxInputs"}]
    root = str(shared / "data" / "VOCdevkit" / "VOC2007")
    loader = {
        "batch_size": 2,
        "dataset": {"type": "VOCBoxes", "data_root": root, "pipeline": pipeline, "indices": 5},
        "sampler": {"type": "DefaultSampler", "shuffle": False},
    }
    method = {"type": "lost", "bias": -0.5, "normalize": True}
    cfg = {
        "model": {"type": "ObjectDiscoverer", "backbone": SMALL, "method": method},
        "test_dataloader": loader,
        "test_evaluator": {"type": "CorLocMetric"},
        "test_cfg": {"type": "TestLoop"},
        "default_scope": "mmseg",
        "work_dir": str(tmp_path),
        "experiment_name": "object_discovery",
    }
    runner = Runner.from_cfg(Config(cfg))
    scores = runner.test()
    assert scores["images"] == 5
    assert 0 <= scores["CorLoc"] <= 100


def test_distributed_testing_does_not_wrap_a_model_without_gradients(monkeypatch):
    model = ObjectDiscoverer(SMALL)
    runner = SimpleNamespace(distributed=True, cfg={}, logger=None)
    assert Runner.wrap_model(runner, {"type": "NoModelWrapper"}, model) is model
    assert NoModelWrapper(model) is model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pad": "center"}, r"backbone.pad='center': .*takes pad='corner'"),
        ({"crop": True}, r"backbone.crop=True: .*takes crop=False"),
        ({"out_indices": (0, 1)}, r"backbone.out_indices=\(0, 1\): .*one block"),
    ],
)
def test_backbones_whose_patches_cannot_be_placed_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        ObjectDiscoverer({**SMALL, **options})


def test_there_is_nothing_to_train():
    with pytest.raises(ValueError, match=r"nothing to train.*`ttrb test CONFIG`"):
        ObjectDiscoverer(SMALL)([torch.zeros(3, 64, 64)], mode="loss")
