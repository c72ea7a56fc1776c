"""The real ViT on real ADE20K images: train and test; plain and with a register."""

import json

import cv2
import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.cli import main
from ttr_backbones.registers import token_norms

PLAIN, TTR = "augreg_vitt16_linear_ade20k_200it", "augreg_vitt16_ttr_linear_ade20k_200it"
TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
LAST = 6


@pytest.fixture(scope="module")
def options(small_ade20k, tiny_weights):
    """Options that make the packaged configs a run of seconds, here."""
    own = {
        "model.backbone.pretrained": False,
        "model.backbone.checkpoint": tiny_weights,
        "train_dataloader.batch_size": 2,
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "test_dataloader.num_workers": 0,
        "test_dataloader.persistent_workers": False,
        "train_cfg.max_iters": LAST,
        "train_cfg.val_interval": LAST,
        "default_hooks.checkpoint.interval": 2,
    }
    pairs = [f"{key}={value}" for key, value in own.items()]
    return ["--data-root", str(small_ade20k), "--cfg-options", *pairs]


@pytest.mark.nightly
def test_trained_head__tests_to_the_score_of_its_last_validation(options, tmp_path):
    assert main(["train", TTR, "--work-dir", str(tmp_path / "train"), *options]) == 0
    checkpoint = tmp_path / "train" / f"iter_{LAST}.pth"
    head = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert {name.partition(".")[0] for name in head} == {"decode_head"}
    (log,) = (tmp_path / "train").glob("*/vis_data/scalars.json")
    validated = json.loads(log.read_text().splitlines()[-1])["mIoU"]
    work_dir = tmp_path / "test"
    assert main(["test", TTR, str(checkpoint), "--work-dir", str(work_dir), *options]) == 0
    (scores,) = work_dir.glob("*/2*.json")
    assert json.loads(scores.read_text())["mIoU"] == validated > 0


@pytest.mark.parametrize(("config", "clean"), [(PLAIN, False), (TTR, True)])
@torch.no_grad()
def test_features_of_the_config_hold_outliers_or_none(config, clean, shared, tiny_weights):

    from ttr_backbones.recipes import named_config

    repair = named_config(config).model.backbone.get("repair")
    backbone = TimmViT(TAG, checkpoint=tiny_weights, repair=repair, final_norm=False)
    files = sorted((shared / "data/ADEChallengeData2016/images/validation").iterdir())[:4]
    largest = []
    for file in files:
        image = cv2.resize(cv2.imread(str(file))[..., ::-1], (320, 224))
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        largest.append(token_norms(backbone(x)[0].flatten(2).transpose(1, 2)).max())
    if clean:
        assert max(largest) < 40
    else:
        assert min(largest) > 300
