"""What mmengine's runner needs to train a head that survives being killed.

Importing this package registers everything in mmseg's registries.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.engine.checkpoint import HeadCheckpointHook, latest_checkpoint
from ttr_backbones.engine.input_size import CheckInputSize
from ttr_backbones.engine.loop import ResumableTrainLoop
from ttr_backbones.engine.normalization import CheckNormalization
from ttr_backbones.engine.optimizer import TrainableOptimWrapperConstructor
from ttr_backbones.engine.safe_checkpoint import SafeCheckpoint
from ttr_backbones.engine.sampler import Draw, ResumableInfiniteSampler
from ttr_backbones.engine.seeding import SeedSample
from ttr_backbones.engine.stop_on_nan import StopOnNaN

__all__ = [
    "CheckInputSize",
    "CheckNormalization",
    "Draw",
    "HeadCheckpointHook",
    "ResumableInfiniteSampler",
    "ResumableTrainLoop",
    "SafeCheckpoint",
    "SeedSample",
    "StopOnNaN",
    "TrainableOptimWrapperConstructor",
    "latest_checkpoint",
]
