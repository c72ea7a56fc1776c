"""The public face of the method: find, describe and redirect register neurons.

Needs torch and timm only.
"""

from ttr_backbones.neuron_search.controls import random_neurons
from ttr_backbones.neuron_search.outliers import mean_plus_std, outlier_mask, token_norms
from ttr_backbones.neuron_search.search import (
    FoundNeurons,
    NoOutliersError,
    find_register_neurons,
)
from ttr_backbones.neuron_search.tune import TunedNeurons, tune_register_neurons
from ttr_backbones.neuron_search.verification import Verification, verify_neurons
from ttr_backbones.repairs.bake import bake_registers
from ttr_backbones.repairs.baked import BakedRegisters
from ttr_backbones.repairs.bias import add_bias_registers
from ttr_backbones.vits.class_swap import (
    has_test_time_registers,
    remove_test_time_registers,
)
from ttr_backbones.vits.image_patches import patches_in_boxes, patches_receive
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.register_tokens import (
    num_inner_prefix_tokens,
    num_test_time_registers,
    register_tokens,
    split_tokens,
)
from ttr_backbones.vits.registers import add_test_time_registers

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
    "patches_in_boxes",
    "patches_receive",
    "random_neurons",
    "register_tokens",
    "remove_test_time_registers",
    "split_tokens",
    "token_norms",
    "tune_register_neurons",
    "verify_neurons",
]
