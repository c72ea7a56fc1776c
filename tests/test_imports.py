"""Importing any part of the package changes nothing in the libraries it stands on."""

import subprocess
import sys

CODE = """
import os, pkgutil, importlib, warnings, signal
warnings.simplefilter("ignore")
forks = []
os.register_at_fork = lambda **kwargs: forks.append(kwargs)
from ttr_backbones.compat import prepare_mmseg
prepare_mmseg()  # mmcv-lite needs it before mmseg can be imported at all
import mmengine, mmengine.hooks, mmengine.model, mmengine.runner, mmengine.runner.checkpoint
import mmseg.models, mmseg.datasets, mmseg.visualization, timm, torch
from timm.models import vision_transformer
forks.clear()

def state():
    classes = [
        value
        for module in (mmengine.hooks, mmengine.model, mmengine.runner, mmseg.models,
                       mmseg.datasets, mmseg.visualization, vision_transformer, torch.nn)
        for value in vars(module).values()
        if isinstance(value, type)
    ]
    return (
        {(cls, name): value for cls in classes for name, value in vars(cls).items()
         if callable(value)},
        dict(mmengine.runner.checkpoint.CheckpointLoader._schemes),
        {name: value for name, value in vars(torch).items() if callable(value)},
        [signal.getsignal(number) for number in signal.valid_signals()],
        os.environ.copy(),
    )

before = state()
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


def test_import__of_every_module_changes_nothing_in_mmengine_mmseg_timm_or_torch():
    result = subprocess.run(
        [sys.executable, "-c", CODE], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
