"""PH-Reg (arXiv 2505.21501): a model distils the average of its own shifted views into itself.

The student is the model with trained register tokens, whose positions, patch embedding and last
block were trained too. What a training gives is an artifact; the authors' released files are read.
"""

from ttr_backbones.repairs.ph_reg.distillation import Distillation
from ttr_backbones.repairs.ph_reg.repair import PhReg

__all__ = ["Distillation", "PhReg"]
