"""`ttrb train` and `ttrb test` on data in KITTI's layout, with a small random ViT."""

import json

import cv2
import numpy as np
import pytest

from ttr_backbones.cli import main

CONFIG = "dinov2_vits14_lin1_kitti_dinov2"
DRIVES = ("2011_09_26_drive_0001_sync", "2011_09_26_drive_0002_sync")
IMAGE = "2011_09_26/{drive}/image_02/data/0000000005.png"
DEPTH = "{drive}/proj_depth/groundtruth/image_02/0000000005.png"
SMALL = {"img_size": 224, "embed_dim": 32, "depth": 2, "num_heads": 2}


@pytest.fixture
def kitti(tmp_path):
    """Images of one name in two drives, and a third without depth."""
    rng = np.random.default_rng(0)
    lines = ["2011_09_26/none/image_02/data/0000000005.png None 721.5377"]
    for metres, drive in enumerate(DRIVES, start=10):
        image = rng.integers(0, 256, (375, 1242, 3), dtype=np.uint8)
        depth = np.full((375, 1242), metres * 256, dtype=np.uint16)
        image_path, depth_path = IMAGE.format(drive=drive), DEPTH.format(drive=drive)
        for path, pixels in ((f"input/{image_path}", image), (f"gt_depth/{depth_path}", depth)):
            (tmp_path / path).parent.mkdir(parents=True)
            cv2.imwrite(str(tmp_path / path), pixels)
        lines.append(f"{image_path} {depth_path} 721.5377")
    for split in ("train", "test"):
        (tmp_path / f"kitti_eigen_{split}.txt").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.nightly
def test_kitti__trains_and_tests_and_keeps_every_picture_and_depth(kitti, tmp_path):
    options = {
        "model.backbone.pretrained": False,
        "model.decode_head.in_channels": 64,
        "train_cfg.max_iters": 2,
    }
    options |= {f"model.backbone.model_kwargs.{key}": value for key, value in SMALL.items()}
    for loader in ("train", "val", "test"):
        options[f"{loader}_dataloader.num_workers"] = 0
        options[f"{loader}_dataloader.persistent_workers"] = False
    common = ["--work-dir", str(tmp_path / "run"), "--data-root", str(kitti), "--cfg-options"]
    common += [f"{key}={value}" for key, value in options.items()]
    assert main(["train", CONFIG, *common]) == 0
    places = ["--show-dir", str(tmp_path / "show"), "--out", str(tmp_path / "out")]
    assert main(["test", CONFIG, str(tmp_path / "run/iter_2.pth"), *places, *common]) == 0

    scores = json.loads(max((tmp_path / "run").glob("*/2*.json")).read_text())
    assert (scores["images"], scores["images_without_truth"]) == (2, 0)
    assert len(list((tmp_path / "show").rglob("*.png"))) == 2
    errors = []
    for metres, drive in enumerate(DRIVES, start=10):
        (path,) = (tmp_path / "out").rglob(IMAGE.format(drive=drive))
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert (depth.dtype, depth.shape) == (np.uint16, (352, 1216))
        # Garg's crop.
        scored = depth[int(0.40810811 * 352) : int(0.99189189 * 352)]
        scored = scored[:, int(0.03594771 * 1216) : int(0.96405229 * 1216)]
        errors.append(np.sqrt(np.mean((scored / 256 - metres) ** 2)))
    assert scores["rmse"] == pytest.approx(np.mean(errors), abs=0.01)
