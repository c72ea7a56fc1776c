"""The protocols of the depth configs, number by number (DINOv2's, Denoising-ViT's, KITTI's)."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from ttr_backbones.engine import Draw
from ttr_backbones.recipes import axis_files, recipe

DEPTH = [name for name in axis_files("protocols") if "_nyu_" in name or "_kitti_" in name]
DEPTH.remove("lin1_nyu_dinov3")  # has a test of its own
MODELS = ("augreg_vitt16", "dinov2_vits14", "dinov2_vits14_reg4", "openclip_vitb16")
NAMES = [f"{model}_{protocol}" for protocol in DEPTH for model in MODELS]


@pytest.mark.parametrize("name", NAMES)
def test_protocol__numbers_of_each_config(name):
    config = recipe(name)
    backbone, optimizer = config.model.backbone, config.optim_wrapper.optimizer
    protocol, kitti = name.rpartition("_")[2], "_kitti_" in name
    own = "dinov2" if name.startswith("dinov2") and "_reg4_" not in name else "timm"
    assert (
        backbone.final_norm,
        backbone.pos_embed,
        optimizer.lr,
        config.train_cfg.val_interval,
    ) == {
        "dinov2": (False, own, 1e-4, 6400),
        "dvt": (True, "timm", 5e-3, 800),
        "200it": (True, "timm", 5e-3, 200),
    }[protocol]
    assert (backbone.cls_token, backbone.pad, backbone.frozen) == ("concat", "center", True)
    assert (optimizer.type, optimizer.weight_decay, optimizer.betas[1]) == ("AdamW", 0.01, 0.999)
    assert config.optim_wrapper.clip_grad == {"max_norm": 35, "norm_type": 2}
    assert config.train_cfg.max_iters == (200 if protocol == "200it" else 38400)
    assert config.train_dataloader.batch_size == 2
    assert config.val_dataloader.batch_size == 1
    assert config.test_dataloader == config.val_dataloader
    saving = config.default_hooks.checkpoint
    assert (saving.save_best, saving.rule) == ("abs_rel", "less")

    losses = config.model.decode_head.loss_decode
    assert losses == {"type": "SigLoss", **({"warm_up": 10} if protocol == "200it" else {})}
    assert config.model.type == "FlipDepthEstimator"
    assert config.model.test_cfg == {"mode": "whole", "flip": True}
    prepare = config.model.data_preprocessor
    assert (prepare.size, prepare.seg_pad_val) == ((352, 704) if kitti else (416, 544), 0)
    imagenet = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    half = [127.5] * 3, [127.5] * 3
    assert (prepare.mean, prepare.std) == (half if name.startswith("augreg") else imagenet)

    scale, longest = (256.0, 80.0) if kitti else (1000.0, 10.0)
    for loader in (config.train_dataloader, config.test_dataloader):
        assert loader.dataset.type == ("KITTIDepth" if kitti else "NYUDepthV2")
        (read,) = (step for step in loader.dataset.pipeline if step.type == "LoadDepth")
        assert (read.scale, read.max_depth) == (scale, longest)
    evaluator = config.test_evaluator
    assert evaluator == config.val_evaluator
    assert (evaluator.min_depth, evaluator.max_depth) == (1e-3, longest)
    assert evaluator.crop == ("garg" if kitti else "eigen")


@pytest.mark.parametrize(
    ("data", "crop", "brightness"), [("nyu", (416, 544), 0.25), ("kitti", (352, 704), 0.1)]
)
def test_protocol__augmentations(data, crop, brightness):
    pipeline = recipe(f"dinov2_vits14_lin1_{data}_dinov2").train_dataloader.dataset.pipeline
    steps = {step.type: step for step in pipeline}
    inner = {step.type: dict(step) for step in steps["Albumentations"].transforms}
    assert inner["Rotate"] == {"type": "Rotate", "limit": 2.5, "p": 0.5}
    assert inner["HorizontalFlip"] == {"type": "HorizontalFlip", "p": 0.5}
    assert (inner["RandomCrop"]["height"], inner["RandomCrop"]["width"]) == crop
    colours = dict(steps["ColorAug"])
    assert colours.pop("brightness") == (1 - brightness, 1 + brightness)
    assert colours == {"type": "ColorAug", "prob": 0.5, "gamma": (0.9, 1.1), "color": (0.9, 1.1)}
    order = ["LoadImage", "LoadDepth", *(["KBCrop"] if data == "kitti" else []), "Albumentations"]
    assert list(steps) == ["SeedSample", *order, "ColorAug", "PackSegInputs"]


def test_dinov3__its_numbers_and_its_schedule():
    """The schedule by the formula of its repository, which adds the first thousandth."""
    from mmengine.optim import (
        ConstantMomentum,
        CosineAnnealingLR,
        CosineAnnealingMomentum,
        LinearLR,
    )

    config, other = recipe("dinov2_vitl14_lin1_nyu_dinov3"), recipe("dinov2_vitl14_lin1_nyu_dinov2")
    head = config.model.decode_head
    assert (head.in_channels, head.norm, head.upsample, head.n_bins) == ([1024], True, 1, 256)
    assert (config.model.backbone.final_norm, "cls_token" in config.model.backbone) == (True, False)
    assert config.model.test_cfg == {"mode": "whole", "flip": True}
    assert config.train_dataloader == other.train_dataloader
    assert config.test_evaluator == other.test_evaluator
    wrapper = config.optim_wrapper
    assert (wrapper.optimizer.type, wrapper.optimizer.lr) == ("AdamW", 3e-4)
    assert (wrapper.optimizer.weight_decay, wrapper.optimizer.betas[1]) == (1e-4, 0.99)
    assert wrapper.clip_grad == {"max_norm": 35, "norm_type": 2}
    kinds = (LinearLR, CosineAnnealingLR, ConstantMomentum, CosineAnnealingMomentum)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-4, betas=(0.85, 0.99))
    built = []
    for kind, options in zip(kinds, copy.deepcopy(config.param_scheduler), strict=True):
        assert options.pop("type") == kind.__name__
        built.append(kind(optimizer, **options))
    rates, betas = [], []
    for _ in range(38400):
        rates.append(optimizer.param_groups[0]["lr"] / 3e-4)
        betas.append(optimizer.param_groups[0]["betas"][0])
        for scheduler in built:
            scheduler.step()
    for step in (0, 100, 6400, 12799, 12800, 20000, 38399):
        if step < 12800:
            rate = 1e-3 + (1 + math.cos(math.pi * step / 38400)) / 2 * step / 12800
            beta = 0.0
        else:
            low, part = 1 / 25000, (step - 12800) / 25600
            rate = low + (1 - low) * (1 + math.cos(math.pi * (step + 1) / 38400)) / 2
            beta = 0.95 + (0.85 - 0.95) * (1 + math.cos(math.pi * part)) / 2
        assert rates[step] == pytest.approx(rate, abs=1e-3)
        assert betas[step] == pytest.approx(beta, abs=1e-6)


def test_schedule__warm_up_times_cosine_and_one_cycle_of_momentum():
    from mmengine.registry import PARAM_SCHEDULERS

    schedulers = recipe("dinov2_vits14_lin1_nyu_dinov2").param_scheduler
    optimizer = torch.optim.AdamW(
        [torch.nn.Parameter(torch.zeros(1))], lr=1e-4, betas=(0.95, 0.999)
    )
    built = [
        PARAM_SCHEDULERS.build(one, default_args={"optimizer": optimizer})
        for one in copy.deepcopy(schedulers)
    ]
    rates, momenta = [], []
    for _ in range(38400):
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        momenta.append(group["betas"][0])
        assert group["betas"][1] == 0.999
        for scheduler in built:
            scheduler.step()
    assert rates[0] == pytest.approx(1e-7)  # a thousandth
    for step in (1, 3000, 6400, 12000, 12800, 19200, 30000, 38000):
        warm_up = min(1e-3 + (1 - 1e-3) * step / 12800, 1)
        cosine = (1 + math.cos(math.pi * step / 38400)) / 2
        # mmengine's warm-up is over one iteration before mmcv's.
        assert rates[step] == pytest.approx(1e-4 * warm_up * cosine, rel=1e-3)
    assert rates[-1] < 1e-4 * 1e-8 + 1e-12
    assert max(rates) == rates[12799]
    for step in (0, 1, 2000, 5760, 11519, 11520, 11521, 20000, 24960, 38399):
        falling, rising = step / 11520, (step - 11520) / 26880
        swing = math.cos(math.pi * falling) if step < 11520 else -math.cos(math.pi * rising)
        assert momenta[step] == pytest.approx(0.9 + 0.05 * swing, abs=1e-6)


@pytest.fixture(scope="module")
def registries():
    import ttr_backbones.datasets
    import ttr_backbones.engine
    import ttr_backbones.evaluation
    import ttr_backbones.tasks.drawing.depth_visualizer  # noqa: F401

    init_default_scope("mmseg")


@pytest.fixture
def write_pair(tmp_path):
    """Write an image and a depth map whose metres tell the row, or the column, of the pixel."""

    def write(size, scale, axis):
        coordinate = np.indices(size)[axis]
        metres = 1 + coordinate / 256
        cv2.imwrite(str(tmp_path / "image.jpg"), np.full((*size, 3), 90, np.uint8))
        cv2.imwrite(str(tmp_path / "depth.png"), np.round(metres * scale).astype(np.uint16))
        return {
            "img_path": str(tmp_path / "image.jpg"),
            "depth_map_path": str(tmp_path / "depth.png"),
            "seg_fields": [],
        }

    return write


def coordinates(packed):
    depth = packed["data_samples"].gt_depth_map.data
    assert packed["inputs"].shape[1:] == depth.shape[1:]
    return ((depth[depth > 0] - 1) * 256).round()


@pytest.mark.parametrize(
    ("data", "size", "scale", "crop", "window", "tested"),
    [
        ("nyu", (480, 640), 1000, (416, 544), [(45, 471), (43, 607)], [(0, 479), (0, 639)]),
        ("kitti", (375, 1242), 256, (352, 704), [(23, 374), (13, 1228)], [(23, 374), (13, 1228)]),
    ],
)
def test_pipelines__keep_the_window_of_the_protocol(
    registries, write_pair, data, size, scale, crop, window, tested
):
    from mmengine.dataset import Compose

    config = recipe(f"dinov2_vits14_lin1_{data}_dinov2")
    train = Compose(config.train_dataloader.dataset.pipeline)
    test = Compose(config.test_dataloader.dataset.pipeline)
    for axis in (0, 1):
        pair = write_pair(size, scale, axis)
        drawn = [train({**copy.deepcopy(pair), "sample_idx": Draw(0, n, 0)}) for n in range(40)]
        assert {tuple(packed["inputs"].shape) for packed in drawn} == {(3, *crop)}
        seen = torch.cat([coordinates(packed) for packed in drawn])
        first, last = window[axis]
        # KITTI's crop has 513 places in a row, which 40 draws do not all hit.
        slack = 0 if data == "nyu" else 20
        assert first <= seen.min() <= first + slack
        assert last - slack <= seen.max() <= last
        seen = coordinates(test(copy.deepcopy(pair)))
        assert (seen.min(), seen.max()) == tested[axis]


@pytest.mark.parametrize("data", ["nyu", "kitti"])
def test_evaluator_and_visualizer__build(registries, tmp_path, data):
    from mmseg.registry import METRICS, VISUALIZERS

    config = recipe(f"dinov2_vits14_lin1_{data}_dinov2")
    METRICS.build(config.test_evaluator)
    # As `ttrb test --out` sets it: KITTI's 80 m have to fit into a 16-bit PNG.
    METRICS.build({**config.test_evaluator, "output_dir": str(tmp_path)})
    visualizer = VISUALIZERS.build({**config.visualizer, "save_dir": str(tmp_path)})
    assert type(visualizer).__name__ == "DepthVisualizer"
