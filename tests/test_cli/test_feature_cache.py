"""`--feature-cache`, the real ViT, real ADE20K images: what comes from disk changes nothing."""

from __future__ import annotations

import json

import pytest
import timm.layers
import torch

from ttr_backbones.cli import main
from ttr_backbones.registers import RegisterNeurons

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
PLAIN, TTR = "augreg_vitt16_linear_ade20k_200it", "augreg_vitt16_ttr_linear_ade20k_200it"


@pytest.fixture
def passes(monkeypatch):
    """Images that went through a backbone."""
    seen = []
    forward = timm.layers.PatchEmbed.forward

    def counted(self, images):
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(timm.layers.PatchEmbed, "forward", counted)
    return seen


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A released head with random weights."""
    generator = torch.Generator().manual_seed(0)
    state = {"conv_seg.weight": torch.randn(150, 192, 1, 1, generator=generator)}
    state |= {f"bn.{name}": torch.ones(192) for name in ("weight", "bias", "running_var")}
    state |= {"bn.running_mean": torch.zeros(192), "conv_seg.bias": torch.zeros(150)}
    state["bn.num_batches_tracked"] = torch.tensor(1)
    path = tmp_path_factory.mktemp("head") / "head.pth"
    torch.save({"state_dict": {f"decode_head.{k}": v for k, v in state.items()}}, path)
    return path


@pytest.fixture(scope="module")
def options(small_ade20k, tiny_weights):
    own = {
        "model.backbone.pretrained": False,
        "model.backbone.checkpoint": tiny_weights,
        "randomness.seed": 0,
        # Half the side: every pixel has 150 logits.
        "model.test_cfg.crop_size": "(112,112)",
        "model.test_cfg.stride": "(74,74)",
    }
    for loader in ("val", "test"):
        own[f"{loader}_dataloader.dataset.pipeline.1.scale"] = "(99999999,112)"
    for loader in ("train", "val", "test"):
        own[f"{loader}_dataloader.num_workers"] = 0
        own[f"{loader}_dataloader.persistent_workers"] = False
        own[f"{loader}_dataloader.dataset.indices"] = 2 if loader == "train" else 1
    pairs = [f"{key}={value}" for key, value in own.items()]
    return ["--data-root", str(small_ade20k), "--cfg-options", *pairs]


@pytest.fixture
def evaluate(head, options, tmp_path, passes):
    runs = iter(range(10))

    def run(config, *more):
        """Metrics, masks and images that went through the backbone."""
        folder = tmp_path / f"run{next(runs)}"
        passes.clear()
        arguments = ["test", config, str(head), "--work-dir", str(folder), *options, *more]
        assert main([*arguments, "--out", str(folder / "masks")]) == 0
        (scores,) = folder.glob("*/*.json")
        told = json.loads(scores.read_text())
        metrics = {key: value for key, value in told.items() if not key.endswith("time")}
        masks = {mask.name: mask.read_bytes() for mask in (folder / "masks").iterdir()}
        return metrics, masks, sum(passes)

    return run


@pytest.mark.slow
def test_a_second_evaluation_makes_no_pass_and_gives_the_same(evaluate, tmp_path, capsys):
    cache = ["--feature-cache", str(tmp_path / "cache")]
    plain = evaluate(PLAIN)
    first, second = evaluate(PLAIN, *cache), evaluate(PLAIN, *cache)
    assert plain[2] == first[2] > 0
    assert second[2] == 0
    assert plain[:2] == first[:2] == second[:2]
    told = capsys.readouterr().out
    windows = plain[2]
    assert f"0 of {windows} inputs were there" in told
    assert f"{windows} of {windows} inputs were there" in told

    registers = evaluate(TTR, *cache)
    assert registers[2] == first[2], "another register list is another key"
    assert registers[1] != plain[1]
    RegisterNeurons(TAG, {6: [189]}).save(tmp_path / "one.json")
    one = f"model.backbone.repair.neurons={tmp_path / 'one.json'}"
    assert evaluate(TTR, *cache, "--cfg-options", one)[2] == first[2]
    assert evaluate(TTR, *cache) == (*registers[:2], 0)


def test_validation_takes_it_and_training_does_not(options, tmp_path, passes):
    def trained(name, *more):
        passes.clear()
        work_dir = ["--work-dir", str(tmp_path / name)]
        steps = [
            "train_cfg.max_iters=2",
            "train_cfg.val_interval=1",
            "train_dataloader.batch_size=2",
        ]
        assert main(["train", PLAIN, *work_dir, *options, *steps, *more]) == 0
        log = next((tmp_path / name).glob("*/vis_data/scalars.json")).read_text()
        mious = [json.loads(line).get("mIoU") for line in log.splitlines()]
        return [miou for miou in mious if miou is not None], list(passes)

    plain, without = trained("plain")
    cached, with_cache = trained("cached", "--feature-cache", str(tmp_path / "cache"))
    assert cached == plain
    assert len(plain) == 2
    validation = [count for count in without if count == 1]
    assert without == [2, *validation[: len(validation) // 2]] * 2
    assert with_cache == [2, *validation[: len(validation) // 2], 2]


def test_a_model_that_is_trained_itself_is_refused(options, head, capsys):
    arguments = ["test", PLAIN, str(head), *options, "model.backbone.frozen=False"]
    assert main([*arguments, "--feature-cache", "cache"]) == 2
    assert "--feature-cache keeps what a frozen TimmViT computes" in capsys.readouterr().err
