"""The real ViT on real ADE20K images: train, kill -9, resume, test; plain and with a register."""

import json
import os
import signal
import subprocess
import sys
import time

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
def options(shared, tiny_weights):
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
    data_root = shared / "data" / "ADEChallengeData2016"
    pairs = [f"{key}={value}" for key, value in own.items()]
    return ["--data-root", str(data_root), "--cfg-options", *pairs]


def kill_once_it_has_saved(work_dir, arguments):
    """Start `ttrb train` as a process of its own and kill it after its first checkpoint."""
    code = "import sys; from ttr_backbones.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (work_dir / "iter_2.pth").exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (work_dir / f"iter_{LAST}.pth").exists()


def head(work_dir):
    return torch.load(work_dir / f"iter_{LAST}.pth", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted_and_tests(options, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["train", TTR, "--work-dir", str(whole), *options]) == 0
    arguments = ["train", TTR, "--work-dir", str(killed)]
    kill_once_it_has_saved(killed, [*arguments, *options])
    assert main([*arguments, "--resume", "auto", *options]) == 0
    assert head(whole).keys() == head(killed).keys()
    for name, tensor in head(whole).items():
        assert torch.equal(tensor, head(killed)[name]), name
    assert {name.partition(".")[0] for name in head(whole)} == {"decode_head"}
    scores = []
    for work_dir in (whole, killed):
        checkpoint = str(work_dir / f"iter_{LAST}.pth")
        assert main(["test", TTR, checkpoint, "--work-dir", str(work_dir), *options]) == 0
        scores.append(json.loads(max(work_dir.glob("*/2*.json")).read_text())["mIoU"])
    assert scores[0] == scores[1] > 0


@pytest.mark.parametrize(("config", "clean"), [(PLAIN, False), (TTR, True)])
@torch.no_grad()
def test_features_of_the_config_hold_outliers_or_none(config, clean, shared, tiny_weights):
    from mmengine.config import Config

    from ttr_backbones.cli.config import find_config

    registers = Config.fromfile(find_config(config)).model.backbone.get("registers")
    backbone = TimmViT(TAG, checkpoint=tiny_weights, registers=registers, final_norm=False)
    files = sorted((shared / "data/ADEChallengeData2016/images/validation").iterdir())
    largest = []
    for file in files:
        image = cv2.resize(cv2.imread(str(file))[..., ::-1], (320, 224))
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        largest.append(token_norms(backbone(x)[0].flatten(2).transpose(1, 2)).max())
    if clean:
        assert max(largest) < 40
    else:
        assert min(largest) > 300
