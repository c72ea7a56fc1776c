"""PH-Reg through mmengine's Runner: one run, the same one resumed, and in two processes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from ttr_backbones.app.runner import build_runner
from ttr_backbones.backbones import TimmViT
from ttr_backbones.cli import main
from ttr_backbones.distillation import ph_reg_config
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.repairs import load_repair
from ttr_backbones.vits.weights_hash import weights_hash

VIT = {"img_size": 64, "depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs, a config that distils on them within seconds, and the weights of its ViT."""
    folder = tmp_path_factory.mktemp("distillation")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
    torch.manual_seed(0)
    vit = TimmViT("vit_tiny_patch16_224", model_kwargs=VIT).vit
    torch.save(vit.state_dict(), folder / "vit.pth")
    return folder


def config(folder, work_dir, **options):
    """Three epochs of two steps of four images."""
    wanted = {"epochs": 3, "batch_size": 4, "size": 64, "workers": 0, "lr": 1e-2, "final_lr": 1e-3}
    wanted |= {"registers": 2, "views": 3, "shift": 0.3} | options
    cfg = Config(ph_reg_config("vit_tiny_patch16_224", str(folder / "images"), **wanted))
    cfg.model.backbone.update(
        pretrained=False, checkpoint=str(folder / "vit.pth"), model_kwargs=VIT
    )
    cfg.default_hooks.checkpoint.interval = 4
    cfg.work_dir = str(work_dir)
    return cfg


def run(cfg):
    build_runner(cfg).train()


@pytest.fixture(scope="module")
def whole(folder):
    """Train in one piece."""
    run(config(folder, folder / "whole"))
    return folder / "whole"


def trained(work_dir, step=STEPS):
    return torch.load(work_dir / f"iter_{step}.pth", weights_only=True)


def test_run__leaves_a_repair_with_its_story(folder, whole):
    artifact = load_repair(whole / "ph_reg.safetensors")
    fit = artifact.provenance["fit"]
    assert (fit["steps"], fit["steps_planned"], fit["images_seen"]) == (6, 6, 24)
    assert [step for step, _ in fit["loss"]] == [1, 2, 3, 4, 5, 6]
    assert fit["parameters"] == sum(tensor.numel() for tensor in artifact.tensors.values())
    state = trained(whole)["state_dict"]
    assert {name.replace("/", ".") for name in state} == {
        f"trained.{'learned_registers' if n == 'registers' else n}" for n in artifact.tensors
    }
    assert torch.equal(state["trained.learned_registers"], artifact.tensors["registers"])
    backbone = TimmViT(
        "vit_tiny_patch16_224",
        checkpoint=folder / "vit.pth",
        model_kwargs=VIT,
        repair={"type": "ph_reg", "artifact": str(whole / "ph_reg.safetensors")},
    )
    assert artifact.provenance["weights_sha256"] != weights_hash(backbone.vit)
    assert backbone(torch.zeros(1, 3, 48, 80))[0].shape == (1, 32, 3, 5)


def test_run__the_learning_rate_falls_by_one_factor_per_epoch(folder, whole):
    cfg = config(folder, folder / "unused")
    factor = 0.1 ** (1 / 3)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1e-2 * factor)
    assert cfg.param_scheduler.milestones == [2, 4]
    groups = trained(whole)["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == [pytest.approx(1e-3)] * len(groups)


def test_run__stopped_and_resumed_is_the_same(folder, whole, tmp_path):
    (tmp_path / "last_checkpoint").write_text(str(whole / "iter_4.pth"))
    cfg = config(folder, tmp_path)
    cfg.load_from, cfg.resume = str(whole / "iter_4.pth"), True
    run(cfg)
    resumed, expected = (trained(work_dir)["state_dict"] for work_dir in (tmp_path, whole))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in expected.items())
    files = [load_repair(work_dir / "ph_reg.safetensors") for work_dir in (tmp_path, whole)]
    assert files[0].sha256 == files[1].sha256
    assert files[0].provenance["fit"]["loss"] == files[1].provenance["fit"]["loss"]


def test_run__two_processes_are_one(folder, whole, two_processes, tmp_path):
    cfg = config(folder, tmp_path, batch_size=2, gpus=2)
    cfg.launcher = "pytorch"
    two_processes(run, cfg)
    found, expected = (trained(work_dir)["state_dict"] for work_dir in (tmp_path, whole))
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)
    assert load_repair(tmp_path / "ph_reg.safetensors").provenance["fit"]["images_seen"] == 24


def test_command__trains_a_config_of_three_lines(folder, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "_base_ = []\n"
        "from ttr_backbones.distillation import ph_reg_config\n"
        f"globals().update(ph_reg_config('vit_tiny_patch16_224', {str(folder / 'images')!r}, "
        "epochs=1, batch_size=8, size=64, workers=0, views=2, last_block='own'))\n"
        f"model['backbone'].update(pretrained=False, model_kwargs={VIT})\n"
        f"model['backbone']['checkpoint'] = {str(folder / 'vit.pth')!r}\n"
    )
    assert main(["train", str(file), "--work-dir", str(tmp_path / "run")]) == 0
    assert load_repair(tmp_path / "run" / "ph_reg.safetensors").tensors["registers"].shape[0] == 16


def test_what_cannot_be_is_explained(folder, tmp_path):
    with pytest.raises(InputError, match=r"8 images in .* and epochs=100: expected at least one"):
        ph_reg_config("dinov2_vitb14", str(folder / "images"), batch_size=9)
    with pytest.raises(MissingFileError):
        ph_reg_config("dinov2_vitb14", str(tmp_path / "nowhere"))
    cfg = config(folder, tmp_path)
    cfg.model.backbone.repair = {"type": "bias", "artifact": "auto"}
    with pytest.raises(InputError, match="frozen=True and repair=None"):
        build_runner(cfg)
