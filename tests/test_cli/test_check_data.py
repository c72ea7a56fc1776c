import shutil

import cv2
import numpy as np
import pytest

from ttr_backbones.cli import main

DEPTH = """
load = [dict(type="LoadImage"), dict(type="LoadDepth")]
train_dataloader = dict(dataset=dict(
    type="NYUDepthV2", data_root={root!r}, ann_file="nyu_train.txt",
    pipeline=[dict(type="SeedSample"), *load, dict(type="RandomCrop", crop_size=(416, 544))],
))
val_dataloader = dict(dataset=dict(
    type="NYUDepthV2", data_root={root!r}, ann_file="nyu_test.txt",
    pipeline=[*load, dict(type="PackSegInputs")],
))
test_dataloader = val_dataloader
"""


def check(config, capsys, *more):
    code = main(["check-data", str(config), *map(str, more)])
    return code, capsys.readouterr().out


@pytest.fixture
def masks(data_root, tmp_path):
    """A copy of the ADE20K-like data, 5 and 2 pairs, that may be spoilt."""
    return shutil.copytree(data_root, tmp_path / "ade")


def test_good_data(config, capsys):
    code, shown = check(config, capsys)
    assert code == 0
    note = " -- NOTE: the published sets have 20210 (training), 2000 (validation)"
    lines = shown.splitlines()
    assert lines[::2] == [
        f"train_dataloader: ADE20KDataset: 5 samples, 0 problem(s){note}",
        # The same data set twice, checked once.
        f"val_dataloader, test_dataloader: ADE20KDataset: 2 samples, 0 problem(s){note}",
    ]
    for line in lines[1::2]:
        assert "147 declared class(es) never occur (3 floor, " in line
        assert "% of the pixels, in " in line


def test_masks_of_0_and_255__hold_one_class(config, masks, capsys):
    for mask in (masks / "annotations/validation").iterdir():
        cv2.imwrite(str(mask), np.where(cv2.imread(str(mask), 0) == 1, 1, 0).astype(np.uint8) * 255)
    option = "val_dataloader.dataset.reduce_zero_label=False"
    pipeline = "val_dataloader.dataset.pipeline.1.reduce_zero_label=False"
    code, shown = check(config, capsys, "--data-root", masks, "--cfg-options", option, pipeline)
    assert code == 1
    (line,) = [line for line in shown.splitlines() if "the masks hold only the class 0" in line]
    assert "149 declared class(es) never occur" in line
    assert "in 2 of 2 masks, are in no class (255)" in line


def test_files_in_no_sample__are_counted_and_named(config, masks, capsys):
    images, annotations = (masks / kind / "training" for kind in ("images", "annotations"))
    (images / "train_1.jpg").rename(images / "train_1.JPG")
    shutil.copy(images / "train_2.jpg", images / "other.webp")
    code, shown = check(config, capsys, "--data-root", masks)
    assert code == 1
    assert "4 samples, 2 problem(s)" in shown
    assert "2 of 6 files in " in shown
    assert "are in no sample: other.webp, train_1.JPG. Expected names that end in '.jpg'" in shown
    assert f"1 of 5 files in {annotations}" in shown
    assert "are in no sample: train_1.png" in shown


def test_wrong_lines_of_a_list__do_not_hide_bad_files(tmp_path, capsys):
    depth = np.full((30, 40), 2000, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), depth)
    cv2.imwrite(str(tmp_path / "a.jpg"), depth.astype(np.uint8))
    (tmp_path / "b.jpg").write_bytes(b"")
    lines = "a.jpg a.png 518\na.jpg a.png nan\nb.jpg a.png 518\nb.jpg\n"
    for split in ("train", "test"):
        (tmp_path / f"nyu_{split}.txt").write_text(lines)
    config = tmp_path / "depth.py"
    config.write_text(DEPTH.format(root=str(tmp_path)))
    code, shown = check(config, capsys)
    assert code == 1
    assert "NYUDepthV2: 2 samples, 3 problem(s)" in shown
    for told in ("line 2: expected", "line 4: expected", "b.jpg is empty"):
        assert shown.count(told) == 2


def test_all_problems__are_named(config, masks, capsys, tmp_path):
    (masks / "images/training/train_1.jpg").write_bytes(b"")
    (masks / "annotations/training/train_3.png").unlink()
    spoilt = masks / "annotations/validation/val_0.png"
    cv2.imwrite(str(spoilt), np.full((80, 96), 200, dtype=np.uint8))
    saved = tmp_path / "problems.txt"
    code, shown = check(config, capsys, "--data-root", masks, "--out", saved)
    assert code == 1
    assert "train_dataloader: ADE20KDataset: 5 samples, 2 problem(s)" in shown
    assert "train_1.jpg is empty (0 bytes)" in shown
    assert "annotations/training/train_3.png does not exist" in shown
    assert "val_0.png holds the label(s) [200]" in shown
    lines = saved.read_text().splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("val_dataloader, test_dataloader: ADE20KDataset: the mask ")


def test_many_problems__are_cut_short_but_saved(config, masks, capsys, tmp_path):
    image = masks / "images/training/train_0.jpg"
    for number in range(100):  # without masks
        shutil.copy(image, image.with_name(f"more_{number:03d}.jpg"))
    code, shown = check(config, capsys, "--data-root", masks)
    assert code == 1
    assert shown.count("does not exist") == 20
    assert "... and 80 more; --out FILE.txt saves all of them" in shown
    saved = tmp_path / "problems.txt"
    check(config, capsys, "--data-root", masks, "--out", saved)
    names = [line.split("/")[-1][:8] for line in saved.read_text().splitlines()]
    assert names == [f"more_{number:03d}" for number in range(100)]


def test_folders_that_are_missing__do_not_stop_the_rest(config, masks, capsys):
    shutil.rmtree(masks / "images/training")
    code, shown = check(config, capsys, "--data-root", masks)
    assert code == 1
    assert "0 samples, 1 problem(s)\n  train_dataloader: ADE20KDataset expects a folder at" in shown
    assert "val_dataloader, test_dataloader: ADE20KDataset: 2 samples, 0 problem(s)" in shown


def test_foreign_transforms__problems_are_told_with_the_file(config, masks, capsys):
    (masks / "images/validation/val_1.jpg").write_text("<html>")
    option = "val_dataloader.dataset.pipeline.0.type=LoadImageFromFile"
    code, shown = check(config, capsys, "--data-root", masks, "--cfg-options", option)
    assert code == 1
    (line,) = [line for line in shown.splitlines() if "AssertionError" in line]
    assert "images/validation/val_1.jpg" in line


def test_wrong_configs(config, capsys):
    options = [f"val_dataloader.dataset.pipeline.{step}.type=PackSegInputs" for step in (0, 1)]
    code, shown = check(config, capsys, "--cfg-options", *options)
    assert code == 1
    assert "has no Load... transform" in shown
    option = "val_dataloader.dataset.type=ADE20KDatset"
    code, shown = check(config, capsys, "--cfg-options", option)
    assert code == 1
    assert "Did you mean 'ADE20KDataset'" in shown


def test_config_without_data(tmp_path, capsys):
    (tmp_path / "a.py").touch()
    assert main(["check-data", str(tmp_path / "a.py")]) == 2
    assert "the config has no data set" in capsys.readouterr().err


def test_depth__of_every_kind_of_bad(tmp_path, capsys):
    good = np.full((30, 40), 2000, dtype=np.uint16)
    depths = {
        "good": good,
        "other_size": good[:20],
        "eight_bit": good.astype(np.uint8),
        "all_zero": good * 0,
        "wrong_scale": good * 30,
        "missing": None,
    }
    for name, depth in depths.items():
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), np.zeros((30, 40, 3), dtype=np.uint8))
        if depth is not None:
            cv2.imwrite(str(tmp_path / f"{name}.png"), depth)
    lines = [f"/{name}.jpg /{name}.png 518.8579\n" for name in depths]
    (tmp_path / "nyu_train.txt").write_text("".join(lines))
    (tmp_path / "nyu_test.txt").write_text(lines[0])
    config = tmp_path / "depth.py"
    config.write_text(DEPTH.format(root=str(tmp_path)))
    code, shown = check(config, capsys)
    assert code == 1
    told = [line for line in shown.splitlines() if line.startswith("  ")]
    expected = ["40x20 pixels and its image", "of uint8: expected", "is 0 everywhere"]
    expected += ["median depth of 60 m", "missing.png does not exist"]
    assert len(told) == len(expected)
    for line, part, name in zip(told, expected, list(depths)[1:], strict=True):
        assert part in line
        assert f"{name}.png" in line
    assert "test_dataloader: NYUDepthV2: 1 samples, 0 problem(s) -- NOTE" in shown


def test_real_data(shared, tmp_path, capsys):
    config = tmp_path / "depth.py"
    config.write_text(DEPTH.format(root=str(shared / "data" / "nyu")))
    code, shown = check(config, capsys)
    assert code == 0
    assert shown.count("NYUDepthV2: 2 samples, 0 problem(s)") == 2
    ade = shared / "data" / "ADEChallengeData2016"
    code, shown = check("augreg_vitt16_linear_ade20k", capsys, "--data-root", ade)
    assert code == 0
    assert "18 samples, 0" in shown
    assert "8 samples, 0" in shown
