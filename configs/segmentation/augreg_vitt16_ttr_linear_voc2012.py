"""augreg ViT-Ti/16 with a test-time register, linear head, VOC 2012.

Protocol: DINOv2's linear evaluation, 512 px, on features before the final norm and with
    the model's own mean and std.
Train: ttrb train augreg_vitt16_ttr_linear_voc2012
Test: ttrb test augreg_vitt16_ttr_linear_voc2012 CHECKPOINT
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_linear_voc2012 import *

model.backbone.registers = dict(neurons="auto")
