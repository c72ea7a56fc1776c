"""`ttrb test`, `predict` and `train` segment real images with rows of a real ViT's classifier."""

import re

import cv2
import numpy as np
import pytest
from PIL import Image

from ttr_backbones.cli import main

IMAGES = ("2007_006171", "2008_008376", "2011_000025")  # dog, person, sofa; bird; bus, car


@pytest.fixture(scope="module")
def voc(shared, tmp_path_factory):
    """Some images of VOC in the official layout, at half their size: their scores take seconds."""
    root, source = tmp_path_factory.mktemp("VOC2012"), shared / "data/VOCdevkit/VOC2012"
    (root / "JPEGImages").mkdir()
    (root / "SegmentationClass").mkdir()
    for name in IMAGES:
        image = Image.open(source / f"JPEGImages/{name}.jpg")
        image.reduce(2).save(root / f"JPEGImages/{name}.jpg", quality=95)
        mask = Image.open(source / f"SegmentationClassAug/{name}.png")
        size = (-(-mask.width // 2), -(-mask.height // 2))
        mask.resize(size, Image.Resampling.NEAREST).save(root / f"SegmentationClass/{name}.png")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/val.txt").write_text("".join(f"{n}\n" for n in IMAGES))
    return root


@pytest.fixture
def options(tiny_weights):
    return [
        *("--cfg-options", "model.backbone.pretrained=False"),
        f"model.backbone.checkpoint={tiny_weights}",
        "test_dataloader.dataset.pipeline.1.scale=(2048,224)",
        *("test_dataloader.num_workers=0", "test_dataloader.persistent_workers=False"),
    ]


def test_a_register_raises_the_miou_of_the_plain_model(voc, options, tmp_path, capsys):
    scores = {}
    for repair in ("", "_ttr"):
        name = f"augreg_vitt16{repair}_vanilla_classifier_voc20"
        command = ["test", name, "--data-root", str(voc), "--work-dir", str(tmp_path / "work")]
        if repair:
            command += ["--out", str(tmp_path / "masks"), "--show-dir", str(tmp_path / "show")]
        assert main([*command, *options]) == 0
        scores[repair] = float(re.findall(r"\bmIoU: ([\d.]+)", capsys.readouterr().out)[-1])
    assert scores["_ttr"] > scores[""] + 1
    for name in IMAGES:
        mask = cv2.imread(str(tmp_path / f"masks/{name}.png"), cv2.IMREAD_UNCHANGED)
        image = cv2.imread(str(voc / f"JPEGImages/{name}.jpg"))
        assert mask.shape == image.shape[:2]
        assert 1 <= mask.min() <= mask.max() <= 20  # as on disk, where 0 is the background
    assert len([*(tmp_path / "show").rglob("*.png")]) == len(IMAGES)


def test_predict__masks_and_names(voc, options, tmp_path):
    command = ["predict", "augreg_vitt16_sclip_classifier_voc20"]
    command += [str(voc / f"JPEGImages/{IMAGES[0]}.jpg"), "--out", str(tmp_path)]
    assert main([*command, *options]) == 0
    (mask,) = tmp_path.rglob(f"masks/{IMAGES[0]}*.png")
    assert len(np.unique(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))) > 1


def test_train__there_is_nothing_to_train(voc, options, tmp_path, capsys):
    command = ["train", "augreg_vitt16_sclip_classifier_voc20", "--data-root", str(voc)]
    assert main([*command, "--work-dir", str(tmp_path), *options]) == 2
    assert "nothing to train" in capsys.readouterr().err
    # Vectors of 20 classes on labels of 21.
    command = ["test", "augreg_vitt16_sclip_classifier_voc20", "--data-root", str(voc)]
    other = "test_dataloader.dataset.type=PascalVOCDataset"
    reduced = "test_dataloader.dataset.pipeline.2.num_classes=21"
    plain = "test_dataloader.dataset.pipeline.2.reduce_zero_label=None"
    code = main([*command, "--work-dir", str(tmp_path), *options, other, reduced, plain])
    assert code == 2
    assert "the vectors are of 20 classes (aeroplane[404], ...)" in capsys.readouterr().err


def test_check_data__of_real_labels(shared, voc, capsys):
    ade20k = shared / "data/ADEChallengeData2016"
    for name, root, samples in (("sclip_ade20k", ade20k, 8), ("naclip_voc20", voc, 3)):
        assert main(["check-data", name, "--data-root", str(root)]) == 0
        assert f"Dataset: {samples} samples, 0 problem(s)" in capsys.readouterr().out
