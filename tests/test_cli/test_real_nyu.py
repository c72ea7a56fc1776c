"""The real ViT on real NYUv2 pairs: train, resume, test, released heads and broken files."""

import functools
import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.cli import main
from ttr_backbones.evaluation import depth_errors, eigen_mask

PLAIN, TTR = "augreg_vitt16_lin1_nyu_200it", "augreg_vitt16_ttr_lin1_nyu_200it"
METRICS = ("d1", "d2", "d3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
LAST, WARM_UP, STOP = 6, 3, 2


@pytest.fixture(scope="module")
def every_run(tiny_weights):
    """Options that make the packaged configs a run of seconds, here."""
    own = {
        "model.backbone.pretrained": False,
        "model.backbone.checkpoint": tiny_weights,
        "model.decode_head.loss_decode.warm_up": WARM_UP,
        "train_cfg.val_interval": LAST,
        "train_dataloader.batch_size": 2,
        "default_hooks.checkpoint.interval": 2,
        # Crops of a seventh of the pixels.
        "train_dataloader.dataset.pipeline.3.transforms.3.height": 160,
        "train_dataloader.dataset.pipeline.3.transforms.3.width": 208,
        "model.data_preprocessor.size": "(160,208)",
    }
    for loader in ("train", "val", "test"):
        own |= {
            f"{loader}_dataloader.num_workers": 0,
            f"{loader}_dataloader.persistent_workers": False,
        }
    return ["--cfg-options", *(f"{key}={value}" for key, value in own.items())]


@pytest.fixture(scope="module")
def train(shared, every_run):
    """Train for so many iterations in a work dir."""

    def run(config, work_dir, last, *more, validated=True):
        data_root = str(shared / "data" / "nyu")
        arguments = ["train", config, "--work-dir", str(work_dir), "--data-root", data_root]
        steps = [f"train_cfg.max_iters={last}"]
        steps += [] if validated else [f"train_cfg.val_begin={LAST + 1}"]
        assert main([*arguments, *more, *every_run, *steps]) == 0

    return run


@pytest.fixture(scope="module")
def test(shared, every_run, tmp_path_factory):
    """Test a checkpoint and return what was logged."""

    def run(config, checkpoint, *places, options=()):
        work_dir = tmp_path_factory.mktemp("test")
        arguments = ["test", config, str(checkpoint), "--work-dir", str(work_dir), *places]
        arguments += ["--data-root", str(shared / "data" / "nyu"), *every_run, *options]
        assert main(arguments) == 0
        (log,) = work_dir.glob("*/2*.log")
        (scores,) = work_dir.glob("*/2*.json")
        return json.loads(scores.read_text()), log.read_text()

    return run


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """Give the folder of an uninterrupted run of a config, which is done once."""

    @functools.cache
    def folder(name):
        work_dir = tmp_path_factory.mktemp(name)
        train(name, work_dir, LAST, validated=name == TTR)
        return work_dir

    return folder


def head(folder):
    return torch.load(folder / f"iter_{LAST}.pth", weights_only=True)["state_dict"]


def truth_of(shared, stem):
    depth = cv2.imread(str(shared / f"data/nyu/scene_b/sync_depth_{stem}.png"), -1)
    return torch.from_numpy(depth.astype(np.float64) / 1000)


@pytest.mark.nightly
def test_a_head_of_a_grid_ends_as_the_plain_run_does(trained, train, tmp_path):
    train(TTR, tmp_path, LAST, "--probe-grid", "lr=5e-3,1e-3", "seed=0")
    (log,) = trained(TTR).glob("*/vis_data/scalars.json")
    alone = json.loads(log.read_text().splitlines()[-1])
    told = json.loads((tmp_path / "probes.json").read_text())
    score = next(row for row in told["scores"] if row["probe"] == "lr5e-3_seed0")
    assert score["rmse"] == pytest.approx(alone["rmse"], rel=1e-4)
    assert (told["metric"], told["higher_is_better"]) == ("abs_rel", False), "as save_best has it"
    assert told["held_out"][-1]["all_images"] == told["best"]["value"]
    assert told["held_out"][-1]["held_out"] >= told["held_out"][-1]["chosen_on"]
    folder = tmp_path / "probes" / "lr5e-3_seed0"
    given, expected = head(folder), head(trained(TTR))
    assert given.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(given[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_train_and_test__log_all_nine_and_save_pictures_and_depth(shared, trained, test, tmp_path):
    checkpoint = trained(TTR) / f"iter_{LAST}.pth"
    places = ["--show-dir", str(tmp_path / "show"), "--out", str(tmp_path / "out")]
    scores, log = test(TTR, checkpoint, *places)
    assert scores["images"] == 2
    for name in METRICS:
        assert math.isfinite(scores[name])
        assert f" {name}: {scores[name]:.4f} " in log
    validated = (trained(TTR) / "last_checkpoint").parent.glob("*/vis_data/scalars.json")
    last = json.loads(next(validated).read_text().splitlines()[-1])
    assert {name: last[name] for name in METRICS} == {name: scores[name] for name in METRICS}

    pictures = {path.name: cv2.imread(str(path)) for path in (tmp_path / "show").rglob("*.png")}
    assert sorted(pictures) == ["test_rgb_00433.jpg_0.png", "test_rgb_00464.jpg_0.png"]
    assert all(picture.shape[1] > 1000 and picture.std() > 10 for picture in pictures.values())

    # The files hold what was scored, to the millimetre.
    errors = []
    for path in (tmp_path / "out").rglob("*.png"):
        depth, truth = cv2.imread(str(path), -1), truth_of(shared, path.stem[-5:])
        assert (depth.dtype, depth.shape) == (np.uint16, (480, 640))
        mask = eigen_mask(truth, 1e-3, 10.0)
        errors.append(depth_errors(torch.from_numpy(depth / 1000)[mask], truth[mask]))
    assert len(errors) == 2
    for name in ("rmse", "abs_rel", "silog"):
        mean = sum(one[name] for one in errors) / 2
        assert scores[name] == pytest.approx(mean, rel=2e-3)


@pytest.mark.slow
def test_stopped_and_resumed__equals_uninterrupted_across_the_warm_up(trained, train, tmp_path):
    train(TTR, tmp_path, STOP, validated=False)
    counter = "decode_head.loss_decode.0.warm_up_calls"
    stopped = torch.load(tmp_path / f"iter_{STOP}.pth", weights_only=True)["state_dict"]
    assert stopped[counter] == STOP < WARM_UP < LAST
    train(TTR, tmp_path, LAST, "--resume", "auto", validated=False)
    whole, resumed = head(trained(TTR)), head(tmp_path)
    assert set(whole) == {"decode_head.conv_depth.weight", "decode_head.conv_depth.bias", counter}
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


@pytest.mark.nightly
def test_released_head__is_evaluated_with_registers_off_and_on(trained, test, tmp_path):
    own = trained(PLAIN) / f"iter_{LAST}.pth"
    weight = "decode_head.conv_depth.weight"
    assert not torch.equal(head(trained(PLAIN))[weight], head(trained(TTR))[weight])
    names = ("decode_head.conv_depth.weight", "decode_head.conv_depth.bias")
    released = {"state_dict": {name: head(trained(PLAIN))[name] for name in names}, "meta": {}}
    torch.save(released, tmp_path / "nyu_linear_head.pth")
    image = "test_dataloader.dataset.indices=1"
    off, _ = test(PLAIN, tmp_path / "nyu_linear_head.pth", options=[image])
    on, _ = test(TTR, tmp_path / "nyu_linear_head.pth", options=[image])
    same, _ = test(PLAIN, own, options=[image])
    assert [off[name] for name in METRICS] == [same[name] for name in METRICS]
    assert all(math.isfinite(on[name]) for name in METRICS)
    assert all(on[name] != off[name] for name in ("abs_rel", "rmse", "silog"))


@pytest.mark.nightly
def test_training__beats_every_constant_depth_on_the_real_pairs(shared, tiny_weights):
    from mmengine.dataset import pseudo_collate
    from mmengine.structures import PixelData
    from mmseg.registry import DATASETS, MODELS

    from ttr_backbones.losses import SigLoss
    from ttr_backbones.recipes import recipe

    config = recipe(PLAIN)
    config.model.backbone.update(pretrained=False, checkpoint=str(tiny_weights))
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    data = []
    for listed in ("nyu_train.txt", "nyu_test.txt"):
        dataset = config.test_dataloader.dataset
        dataset.update(data_root=str(shared / "data" / "nyu"), ann_file=listed)
        data += list(DATASETS.build(dataset))
    batch = model.data_preprocessor(pseudo_collate(data), training=True)
    samples = batch["data_samples"]
    for sample in samples:  # every eighth pixel of a row and of a column
        sample.gt_depth_map = PixelData(data=sample.gt_depth_map.data[:, ::8, ::8])
    images = torch.nn.functional.interpolate(batch["inputs"], (224, 288), mode="bilinear")
    with torch.no_grad():
        maps = model.extract_feat(images)
    depth_head = model.decode_head
    truth = torch.stack([sample.gt_depth_map.data for sample in samples])

    @torch.no_grad()
    def loss():
        depth = torch.nn.functional.interpolate(depth_head(maps), truth.shape[2:], mode="bilinear")
        return SigLoss(warm_up=0)(depth, truth).item()

    before = loss()
    optimizer = torch.optim.AdamW(depth_head.parameters(), lr=5e-3, weight_decay=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        depth_head.loss(maps, samples, None)["loss_depth"].backward()
        optimizer.step()
    # The loss of a constant depth is at least the deviation of the true logarithms. A head that
    # has learned nothing predicts hardly more than a constant; only one that tells near from far
    # comes below it.
    constant = truth[truth > 0].log().std().item()
    assert len(data) == 4
    assert before > constant
    assert loss() < constant / 2


def eight_bit(path):
    cv2.imwrite(str(path), (cv2.imread(str(path), -1) // 256).astype(np.uint8))


def in_decimetres(path):
    cv2.imwrite(str(path), cv2.imread(str(path), -1) // 100)


@pytest.mark.parametrize(
    ("command", "damage", "message"),
    [
        ("test", in_decimetres, "Set LoadDepth's scale to what the file holds per metre"),
        ("test", Path.unlink, "does not exist, though the data set lists it"),
        ("train", eight_bit, "of uint8: expected one channel of uint16"),
    ],
)
def test_broken_depth__is_named(shared, every_run, tmp_path, capsys, command, damage, message):
    data = tmp_path / "nyu"
    shutil.copytree(shared / "data/nyu/scene_a", data / "scene_a")
    for name in ("nyu_train.txt", "nyu_test.txt"):
        shutil.copy(shared / "data/nyu/nyu_train.txt", data / name)  # it lists scene_a
    broken = data / "scene_a/sync_depth_00050.png"
    damage(broken)
    weights = {"decode_head.conv_depth.weight": torch.zeros(256, 384, 1, 1)}
    weights["decode_head.conv_depth.bias"] = torch.zeros(256)
    torch.save({"state_dict": weights, "meta": {}}, tmp_path / "head.pth")
    arguments = [command, PLAIN, *([str(tmp_path / "head.pth")] if command == "test" else [])]
    arguments += ["--work-dir", str(tmp_path), "--data-root", str(data), *every_run]
    # Training has a worker process here, which wraps the error in its traceback.
    assert main([*arguments, "train_dataloader.num_workers=1"]) == 2
    error = capsys.readouterr().err
    assert f"ttrb: error: the depth map {broken} " in error
    assert message in error
    assert "Traceback" not in error
