"""The task of the README: a module beside a config that names it in custom_imports."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ttr_backbones.engine.head_kinds import HEAD_KINDS
from ttr_backbones.package_data import configs_dir
from ttr_backbones.tasks import TASKS

README = Path(__file__).parents[2] / "ttr_backbones" / "tasks" / "README.md"

CONFIG = """
_base_ = {runtime!r}
custom_imports = dict(imports=["norm_task"], allow_failed_imports=False)
model = dict(
    type="NormMeter",
    data_preprocessor=dict(
        type="SegDataPreProcessor", mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True,
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(
        type="TimmViT", model="vit_tiny_patch16_224",
        model_kwargs=dict(img_size=64, depth=2, embed_dim=32, num_heads=2, init_values=1.0),
        checkpoint={weights!r}, final_norm=False,
    ),
)
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ImageFolder", data_root={images!r},
        pipeline=[dict(type="LoadImage"), dict(type="PackSegInputs")],
    ),
)
test_evaluator = dict(type="NormMetric")
test_cfg = dict(type="TestLoop")
"""


@pytest.fixture(scope="module")
def registries():
    """Put back what the module registers, for the other tests of this process."""
    from mmseg.registry import METRICS, MODELS, VISUALIZERS

    tasks, kinds = dict(TASKS), list(HEAD_KINDS)
    yield
    TASKS.clear()
    TASKS.update(tasks)
    HEAD_KINDS[:] = kinds
    sys.modules.pop("norm_task", None)
    registered = ((MODELS, "NormMeter"), (METRICS, "NormMetric"), (VISUALIZERS, "NormVisualizer"))
    for registry, name in registered:
        registry.module_dict.pop(name, None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images of one size."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (64, 80, 3), dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def norm_config(images, registries, tmp_path_factory):
    """The path of a config of the task from outside."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("outside")
    torch.manual_seed(0)
    options = {"img_size": 64, "depth": 2, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **options)
    save_file(vit.state_dict(), folder / "vit.safetensors")
    module = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "norm_task.py").write_text(module.group(1), encoding="utf-8")
    path = folder / "norms.py"
    runtime = str(configs_dir() / "_base_" / "default_runtime.py")
    weights = str(folder / "vit.safetensors")
    path.write_text(CONFIG.format(runtime=runtime, images=str(images), weights=weights))
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        yield path
