"""A data set in ADE20K's layout and a config that trains on it within seconds."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ttr_backbones.package_data import configs_dir
from ttr_backbones.repairs.run_time import run_time_ratios

CONFIG = """
_base_ = {runtime!r}
data = dict(type="ADE20KDataset", data_root={data!r})
load = [dict(type="LoadImage"), dict(type="LoadSegMask", num_classes=150)]
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor", mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True,
        size=(64, 64), seg_pad_val=255, test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(
        type="TimmViT", model="vit_tiny_patch16_224",
        model_kwargs=dict(img_size=64, depth=2, embed_dim=32, num_heads=2, init_values=1.0),
    ),
    # Dropout draws from torch's generator in every step: a resumed run has to go on with it.
    decode_head=dict(
        type="LinearSegHead", in_channels=[32], num_classes=150, dropout_ratio=0.1,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    test_cfg=dict(mode="whole"),
)
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="ResumableInfiniteSampler"),
    dataset=dict(
        **data, data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=[
            dict(type="SeedSample"), *load,
            dict(type="RandomResize", scale=(128, 64), ratio_range=(1.0, 2.0), keep_ratio=True),
            dict(type="RandomCrop", crop_size=(64, 64)), dict(type="RandomFlip", prob=0.5),
            dict(type="PhotoMetricDistortion"), dict(type="PackSegInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **data,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=[*load, dict(type="PackSegInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
optim_wrapper = dict(
    type="OptimWrapper", constructor="TrainableOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=0.01),
)
param_scheduler = dict(type="PolyLR", begin=0, end=12, by_epoch=False)
train_cfg = dict(type="ResumableTrainLoop", max_iters=12, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    checkpoint=dict(interval=4, max_keep_ckpts=2, save_best="mIoU"), logger=dict(interval=2)
)
tta_model = dict(type="SegTTAModel")
tta_pipeline = [
    dict(type="LoadImage"),
    dict(type="TestTimeAug", transforms=[
        [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
        [dict(type="LoadSegMask", num_classes=150)], [dict(type="PackSegInputs")],
    ]),
]
"""


def write_pair(root, split, name, rng):
    image = rng.integers(0, 256, (80, 96, 3), dtype=np.uint8)
    mask = np.kron(rng.integers(0, 4, (5, 6), dtype=np.uint8), np.ones((16, 16), dtype=np.uint8))
    for folder, suffix, pixels in (("images", "jpg", image), ("annotations", "png", mask)):
        path = root / folder / split / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("ADEChallengeData2016")
    rng = np.random.default_rng(0)
    for index in range(5):
        write_pair(root, "training", f"train_{index}", rng)
    for index in range(2):
        write_pair(root, "validation", f"val_{index}", rng)
    return root


@pytest.fixture(scope="module")
def config(data_root, tmp_path_factory):
    """The path of a config for `data_root`."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    runtime = str(configs_dir() / "_base_" / "default_runtime.py")
    path.write_text(CONFIG.format(runtime=runtime, data=str(data_root)))
    return path


@pytest.fixture
def quick_cells(monkeypatch):
    """`ttrb compare` collects garbage after every cell, so that models do not add up on a GPU."""
    monkeypatch.setattr("ttr_backbones.compare.cells.gc", SimpleNamespace(collect=lambda: 0))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No line of progress is due in a log, however slow the machine is; repairs are timed once."""

    def timed_once(models, batch, *, rounds):
        return run_time_ratios(models, batch, rounds=1)

    monkeypatch.setattr("ttr_backbones.app.progress._LOGGED_AFTER", float("inf"))
    monkeypatch.setattr("ttr_backbones.repairs.effects.run_time_ratios", timed_once)


@pytest.fixture
def drawn():
    """The figures of this test are looked at."""


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Other figures are made, and written as files of one pixel: drawing one takes a second.

    What is drawn is seen where figures are made: test_report, test_compare, test_attribution_page.
    """
    if "drawn" in request.fixturenames:
        return
    pixel = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()

    def savefig(figure, target, **kwargs):
        (target.write if hasattr(target, "write") else Path(target).write_bytes)(pixel)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.fixture(scope="session")
def tiny_llava_folder(tiny_weights, tmp_path_factory):
    """A LLaVA with the real ViT-Ti, whose language model looks where features are largest."""
    pytest.importorskip("transformers")
    from tiny_llava import write_tiny_llava

    return write_tiny_llava(tiny_weights, tmp_path_factory.mktemp("llava"))
