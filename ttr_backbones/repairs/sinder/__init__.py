"""SINDER (arXiv 2407.16826): singular values trained until a direction is drawn to no more."""

from ttr_backbones.repairs.sinder.directions import defect_directions, singular_defect_directions
from ttr_backbones.repairs.sinder.repair import Sinder

__all__ = ["Sinder", "defect_directions", "singular_defect_directions"]
