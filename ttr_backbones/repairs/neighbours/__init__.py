"""Neighbour replacement (SC-CLIP, arXiv 2411.15869): outliers become the mean around them."""

from ttr_backbones.repairs.neighbours.repair import Neighbours

__all__ = ["Neighbours"]
