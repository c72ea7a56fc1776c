"""What a new process imports: mmseg as it is here, and of the package what changes nothing in it.

One process for all of it, since its imports take seconds.
"""

import subprocess
import sys
from pathlib import Path

import mmseg
import pytest

CODE = """
import gc
gc.disable()  # what is imported stays
import os, pkgutil, importlib, sys, warnings, signal
warnings.simplefilter("ignore")
forks = []
os.register_at_fork = lambda **kwargs: forks.append(kwargs)

def callables(modules):
    classes = [
        value for module in modules for value in vars(module).values() if isinstance(value, type)
    ]
    return {
        (cls, name): value for cls in classes for name, value in vars(cls).items()
        if callable(value)
    }

# What is light, from the lightest to the heaviest: each import adds to the ones before.
heavy = {"mmseg", "mmengine", "mmcv", "matplotlib", "cv2", "transformers"}

def is_light(module, foreign):
    importlib.import_module(module)
    found = foreign & set(sys.modules)
    assert not found, f"{module} imported {found}"

is_light("ttr_backbones", heavy | {"torch"})
from ttr_backbones.compat import prepare_mmseg, prepare_torchvision
prepare_torchvision()
import timm, torch
from timm.models import vision_transformer
light = [vision_transformer, torch.nn, torch, timm]
first = callables(light)
is_light("ttr_backbones.registers", heavy)
is_light("ttr_backbones.cli", heavy)
assert first == callables(light)

# mmcv-lite needs preparing before mmseg can be imported at all, and stays truthful.
os.environ.pop("NO_ALBUMENTATIONS_UPDATE", None)
prepare_mmseg()
prepare_mmseg()
assert "mmseg" not in sys.modules
import mmseg.apis
import mmengine, mmengine.hooks, mmengine.model, mmengine.runner, mmengine.runner.checkpoint
import mmseg.models, mmseg.datasets, mmseg.visualization
from mmengine.utils.dl_utils import mmcv_full_available
assert mmcv_full_available() == (importlib.util.find_spec("mmcv._ext") is not None)
assert "mmcv._ext" not in sys.modules or mmcv_full_available()
assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
forks.clear()

def state():
    return (
        callables([mmengine.hooks, mmengine.model, mmengine.runner, mmseg.models,
                   mmseg.datasets, mmseg.visualization, vision_transformer, torch.nn]),
        dict(mmengine.runner.checkpoint.CheckpointLoader._schemes),
        {name: value for name, value in vars(torch).items() if callable(value)},
        [signal.getsignal(number) for number in signal.valid_signals()],
        os.environ.copy(),
    )

before = state()

# An unmodified config of mmseg takes the backbone, which nothing has imported so far.
if len(sys.argv) > 1:
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    assert "ttr_backbones.backbones" not in sys.modules
    config = Config.fromfile(sys.argv[1])
    init_default_scope("mmseg")
    from mmseg.utils import register_all_modules
    register_all_modules()
    from mmseg.registry import MODELS
    model = MODELS.build(config.model).eval()
    assert tuple(model(torch.zeros(2, 3, 64, 96)).shape) == (2, 21, 4, 6)

import ttr_backbones
for module in pkgutil.walk_packages(ttr_backbones.__path__, "ttr_backbones."):
    if ".configs" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for was, now in zip(before, state(), strict=True):
    assert len(was) == len(now), set(now) ^ set(was)
    changed = [key for key in was if was[key] != now[key]] if isinstance(was, dict) else was != now
    assert not changed, changed
ours = [f for kwargs in forks for f in kwargs.values() if (f.__module__ or "").startswith("ttr_")]
assert not ours, ours
"""


FCN = """
_base_ = {base!r}
custom_imports = dict(imports=['ttr_backbones.backbones'], allow_failed_imports=False)
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True, type='TimmViT', model='vit_tiny_patch16_224.augreg_in21k_ft_in1k',
        out_indices=(8, 9, 10, 11), repair=dict(type="test_time", neurons={{6: [189], 7: [417]}})),
    decode_head=dict(in_channels=192, channels=64),
    auxiliary_head=dict(in_channels=192, channels=64))
"""


@pytest.mark.slow
def test_new_process__mmseg_takes_the_backbone_and_importing_every_module_changes_nothing(tmp_path):
    base = Path(mmseg.__file__).parent / ".mim/configs/fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py"
    config = tmp_path / "fcn_vit.py"
    config.write_text(FCN.format(base=str(base)))
    command = [sys.executable, "-c", CODE, *([str(config)] if base.is_file() else [])]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    if not base.is_file():
        pytest.skip(f"all of it but the config, which this mmseg does not ship: {base}")
