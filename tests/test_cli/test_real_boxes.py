"""`ttrb test` finds objects with the real ViT on real VOC and COCO images and in a folder."""

import json
import re

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.cli import main
from ttr_backbones.datasets import VOCBoxes
from ttr_backbones.evaluation import corloc
from ttr_backbones.object_discovery import lost

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture
def discover(shared, tiny_weights, tmp_path):
    """Run `ttrb test` on data of `shared`; return the exit code and where the results are."""

    def run(config, data, *options, extra=()):
        arguments = ["test", config, "--data-root", str(shared / "data" / data), *options]
        arguments += ["--work-dir", str(tmp_path / "work"), "--out", str(tmp_path / "boxes.json")]
        arguments += ["--cfg-options", "model.backbone.pretrained=False", *extra]
        arguments += [f"model.backbone.checkpoint={tiny_weights}"]
        arguments += ["test_dataloader.num_workers=0", "test_dataloader.persistent_workers=False"]
        return main(arguments)

    run.out = tmp_path
    return run


def printed(text, name):
    """The number after a metric's name in the log."""
    return float(re.findall(rf"\b{name}: ([\d.]+)", text)[-1])


def box_by_hand(image_file, weights, repair):
    """LOST on one image without mmengine: read, normalise, pad, values of the last block."""
    image = cv2.cvtColor(cv2.imread(str(image_file)), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    inputs = torch.from_numpy(image).permute(2, 0, 1).float()[None] / 127.5 - 1
    inputs = torch.nn.functional.pad(inputs, (0, -width % 16, 0, -height % 16))
    vit = TimmViT(TAG, checkpoint=weights, repair=repair, facet="value", pad=None)
    values = vit(inputs)[0][0]
    grid = (values.shape[1], values.shape[2])
    return lost(values.flatten(1).T, grid, (16, 16), (height, width)).box.tolist()


def test_voc07__boxes_pictures_and_corloc(discover, shared, tiny_weights, capsys):
    show = discover.out / "show"
    assert discover("augreg_vitt16_lost_voc07", "VOCdevkit/VOC2007", "--show-dir", str(show)) == 0
    boxes = json.loads((discover.out / "boxes.json").read_text())
    listed = (shared / "data/VOCdevkit/VOC2007/ImageSets/Main/trainval.txt").read_text().split()
    assert list(boxes) == [f"{number}.jpg" for number in listed]
    first = shared / f"data/VOCdevkit/VOC2007/JPEGImages/{listed[0]}.jpg"
    assert boxes[first.name] == box_by_hand(first, tiny_weights, None)
    pictures = sorted(path.name for path in show.rglob("*.png"))
    assert pictures == [f"test_{number}.jpg_0.png" for number in listed]
    assert cv2.imread(str(next(show.rglob("*.png")))).shape[1] > 700
    data = VOCBoxes(data_root=str(shared / "data/VOCdevkit/VOC2007"))
    true = [data.get_data_info(index)["boxes"] for index in range(len(data))]
    out = capsys.readouterr().out
    assert printed(out, "CorLoc") == corloc(list(boxes.values()), true)
    assert printed(out, "images") == len(listed)


def test_voc12__without_hard_objects(discover, capsys):
    extra = ["test_dataloader.dataset.hard=False", "test_dataloader.dataset.indices=4"]
    assert discover("augreg_vitt16_lost_voc12", "VOCdevkit/VOC2012", extra=extra) == 0
    out = capsys.readouterr().out
    assert "hard=False leaves out" in out
    assert (printed(out, "images"), printed(out, "CorLoc") % 25) == (4, 0)


@pytest.mark.nightly
def test_coco__with_a_test_time_register(discover, shared, tiny_weights, capsys):
    dataset = "test_dataloader.dataset"
    extra = [
        f"{dataset}.list_file=None",
        f"{dataset}.ann_file=annotations/instances_val2017.json",
        f"{dataset}.data_prefix.img_path=val2017",
        f"{dataset}.indices=6",
        "test_dataloader.batch_size=4",  # images of several sizes in one batch
    ]
    assert discover("augreg_vitt16_ttr_lost_coco20k", "coco", extra=extra) == 0
    out = capsys.readouterr().out
    boxes = json.loads((discover.out / "boxes.json").read_text())
    assert printed(out, "images") == len(boxes) == 6
    name, box = list(boxes.items())[2]
    file = shared / "data/coco/val2017" / name
    assert box == box_by_hand(file, tiny_weights, {"type": "test_time", "neurons": "auto"})
    assert 0 <= printed(out, "CorLoc") <= 100


def test_folder__has_boxes_and_no_corloc(discover, capsys):
    folder = discover.out / "images" / "deeper"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "a.png"), pixels)
    assert discover("augreg_vitt16_lost_folder", folder.parent) == 0
    assert "CorLoc: " not in capsys.readouterr().out
    assert list(json.loads((discover.out / "boxes.json").read_text())) == ["a.png"]


def test_checkpoint__is_refused(capsys):
    assert main(["test", "augreg_vitt16_lost_voc07", "iter_1.pth"]) == 2
    error = capsys.readouterr().err
    assert "ObjectDiscoverer has nothing to train, so iter_1.pth cannot be loaded" in error
