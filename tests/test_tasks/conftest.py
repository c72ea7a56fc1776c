"""A task from outside of the package: a module beside a config that names it in custom_imports."""

import sys

import cv2
import numpy as np
import pytest

from ttr_backbones.engine.head_kinds import HEAD_KINDS
from ttr_backbones.packaged import configs_dir
from ttr_backbones.tasks import TASKS

MODULE = '''
"""The largest norm of an image's features: a model, a metric, a visualizer, and the task."""

import dataclasses
from pathlib import Path

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.visualization import Visualizer
from mmseg.registry import METRICS, MODELS, VISUALIZERS

from ttr_backbones.engine.head_kinds import HeadKind
from ttr_backbones.tasks import Metric, Prediction, Saved, Task, register_task


@MODELS.register_module()
class NormMeter(BaseModel):
    def __init__(self, backbone, data_preprocessor):
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = MODELS.build(backbone)

    def forward(self, inputs, data_samples=None, mode="predict"):
        (maps,) = self.backbone(inputs)
        for sample, norms in zip(data_samples, maps.norm(dim=1), strict=True):
            sample.set_data({"pred_norms": norms})
        return data_samples


@METRICS.register_module()
class NormMetric(BaseMetric):
    def __init__(self, place=None, **kwargs):
        super().__init__(**kwargs)
        self.place = place

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            largest = float(sample["pred_norms"].max())
            self.results.append(largest)
            if self.place is not None:
                file = Path(self.place) / f"{Path(sample['img_path']).stem}.txt"
                file.parent.mkdir(exist_ok=True)
                file.write_text(repr(largest))

    def compute_metrics(self, results):
        return {"largest": sum(results) / len(results)}


@VISUALIZERS.register_module()
class NormVisualizer(Visualizer):
    def add_datasample(self, name, image, data_sample, *args, step=0, **kwargs):
        self.add_image(name, np.full_like(image, 7), step)


@dataclasses.dataclass(frozen=True)
class Norms(Prediction):
    collected = {"largest.json": "largest"}

    norms: np.ndarray

    def draw(self):
        return np.full_like(self.image, 9)

    def saved(self, scale=None):
        largest = float(self.norms.max())
        return Saved(
            pngs={"norms": (255 * self.norms / largest).astype(np.uint8)},
            facts={"largest": largest},
        )

    def facts(self, scale=None):
        return {"unit": "none"}


@register_task
class LargestNorm(Task[Norms]):
    name = "norm measurement"
    models = ("NormMeter",)
    evaluators = ("NormMetric",)
    metric = Metric("largest", "largest norm", "1", "ones", higher_is_better=False, decimals=3)
    answer = "pred_norms"
    visualizer = "NormVisualizer"
    trains = False
    output_argument = "place"
    head_kinds = (HeadKind("norm", "decode_head.conv_norm.weight", "a config of norms"),)

    def prediction(self, path, image, sample, labels, *, logits=False):
        return Norms(path, image, sample.pred_norms.cpu().numpy())
'''

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
    (folder / "norm_task.py").write_text(MODULE)
    path = folder / "norms.py"
    runtime = str(configs_dir() / "_base_" / "default_runtime.py")
    weights = str(folder / "vit.safetensors")
    path.write_text(CONFIG.format(runtime=runtime, images=str(images), weights=weights))
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        yield path
