"""SINDER (arXiv 2407.16826): fine-tuning of singular values that removes defects."""

from ttr_backbones.repairs.sinder.directions import defect_directions, singular_defect_directions
from ttr_backbones.repairs.sinder.repair import Sinder

__all__ = ["Sinder", "defect_directions", "singular_defect_directions"]
