"""augreg ViT-Ti/16 with a test-time register, linear head, ADE20K in small: a trial run.

Protocol: 200 iterations of 4 crops of 224 px, windows of 224 px in the test; a few minutes on two
    CPU cores with a handful of images. It shows that everything works and reproduces no number.
Train: ttrb train augreg_vitt16_ttr_linear_ade20k_200it
Test: ttrb test augreg_vitt16_ttr_linear_ade20k_200it CHECKPOINT
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
Published mIoU: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_linear_ade20k_200it import *

model.backbone.registers = dict(neurons="auto")
