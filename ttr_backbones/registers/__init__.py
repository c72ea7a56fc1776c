"""The method: find, describe and redirect register neurons. Needs torch and timm only."""

from ttr_backbones.compat import prepare_torchvision

prepare_torchvision()  # timm imports torchvision, which may not fit a CPU-only torch

from ttr_backbones.registers.apply import add_test_time_registers  # noqa: E402
from ttr_backbones.registers.bake import bake_registers  # noqa: E402
from ttr_backbones.registers.baked import BakedRegisters  # noqa: E402
from ttr_backbones.registers.bias import add_bias_registers  # noqa: E402
from ttr_backbones.registers.controls import random_neurons  # noqa: E402
from ttr_backbones.registers.mixin import (  # noqa: E402
    has_test_time_registers,
    remove_test_time_registers,
)
from ttr_backbones.registers.neurons import RegisterNeurons  # noqa: E402
from ttr_backbones.registers.outliers import mean_plus_std, outlier_mask, token_norms  # noqa: E402
from ttr_backbones.registers.search import (  # noqa: E402
    FoundNeurons,
    NoOutliersError,
    find_register_neurons,
)
from ttr_backbones.registers.tokens import (  # noqa: E402
    num_inner_prefix_tokens,
    num_test_time_registers,
    register_tokens,
    split_tokens,
)
from ttr_backbones.registers.tune import TunedNeurons, tune_register_neurons  # noqa: E402
from ttr_backbones.registers.verification import Verification, verify_neurons  # noqa: E402

__all__ = [
    "BakedRegisters",
    "FoundNeurons",
    "NoOutliersError",
    "RegisterNeurons",
    "TunedNeurons",
    "Verification",
    "add_bias_registers",
    "add_test_time_registers",
    "bake_registers",
    "find_register_neurons",
    "has_test_time_registers",
    "mean_plus_std",
    "num_inner_prefix_tokens",
    "num_test_time_registers",
    "outlier_mask",
    "random_neurons",
    "register_tokens",
    "remove_test_time_registers",
    "split_tokens",
    "token_norms",
    "tune_register_neurons",
    "verify_neurons",
]
