"""What mmengine's runner needs to train a head that survives being killed.

Importing this package registers everything in mmseg's registries.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.engine.checkpoint import HeadCheckpointHook, latest_checkpoint
from ttr_backbones.engine.head_parallel import HeadDistributedDataParallel
from ttr_backbones.engine.input_size import CheckInputSize
from ttr_backbones.engine.log_files import SafeVisBackend, stop_on_log_errors
from ttr_backbones.engine.loop import ResumableTrainLoop
from ttr_backbones.engine.normalization import CheckNormalization
from ttr_backbones.engine.optimizer import TrainableOptimWrapperConstructor
from ttr_backbones.engine.resume_advice import advise_resume
from ttr_backbones.engine.runner import SafeRunner
from ttr_backbones.engine.safe_checkpoint import SafeCheckpoint
from ttr_backbones.engine.sampler import Draw, ResumableInfiniteSampler
from ttr_backbones.engine.save_on_signal import SaveOnSignal
from ttr_backbones.engine.seeding import SeedSample
from ttr_backbones.engine.stop_on_nan import StopOnNaN
from ttr_backbones.engine.stop_signals import stop_signals

__all__ = [
    "CheckInputSize",
    "CheckNormalization",
    "Draw",
    "HeadCheckpointHook",
    "HeadDistributedDataParallel",
    "ResumableInfiniteSampler",
    "ResumableTrainLoop",
    "SafeCheckpoint",
    "SafeRunner",
    "SafeVisBackend",
    "SaveOnSignal",
    "SeedSample",
    "StopOnNaN",
    "TrainableOptimWrapperConstructor",
    "advise_resume",
    "latest_checkpoint",
    "stop_on_log_errors",
    "stop_signals",
]
