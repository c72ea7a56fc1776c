"""DINOv2 ViT-L/14 with a test-time register, DPT depth head, KITTI.

Protocol: DINOv2's DPT, features before the final norm; 352 x 1216 px, Garg's crop.
Train: ttrb train dinov2_vitl14_ttr_dpt_kitti_dinov2
Test: ttrb test dinov2_vitl14_ttr_dpt_kitti_dinov2 CHECKPOINT
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .dinov2_vitl14_dpt_kitti_dinov2 import *

model.backbone.registers = dict(neurons="auto")
