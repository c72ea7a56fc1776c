"""augreg ViT-Ti/16 with a test-time register, linear head +ms, ADE20K.

Protocol: DINOv2's "+ms" evaluation, last four blocks, 640 px, five scales and mirrored, on
    features before the final norm and with the model's own mean and std.
Train: ttrb train augreg_vitt16_ttr_ms_ade20k
Test: ttrb test augreg_vitt16_ttr_ms_ade20k CHECKPOINT --tta
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_ms_ade20k import *

model.backbone.registers = dict(neurons="auto")
