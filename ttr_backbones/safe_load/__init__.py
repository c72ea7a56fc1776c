"""Reading checkpoint files without running the code that they may carry."""

from ttr_backbones.safe_load.checkpoint_file import TRUST_PICKLE, load_checkpoint_file
from ttr_backbones.safe_load.weight_file import load_weight_file

__all__ = ["TRUST_PICKLE", "load_checkpoint_file", "load_weight_file"]
