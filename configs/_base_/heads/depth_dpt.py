"""DPT depth on frozen features of four blocks, as DINOv2 does it; the same data and loss."""

from mmengine.config import read_base

with read_base():
    from .depth_linear import *

model.decode_head = dict(
    type="DPTDepthHead",
    min_depth=1e-3,
    max_depth=10.0,
    loss_decode=dict(type="SigLoss"),
)
