"""augreg ViT-Ti/16 with a test-time register, linear depth head over one block, NYUv2: a trial run.

Protocol: Denoising-ViT's, but 200 iterations; a few minutes on two CPU cores with a handful of
    images. It shows that everything works and reproduces no number.
Train: ttrb train augreg_vitt16_ttr_lin1_nyu_200it
Test: ttrb test augreg_vitt16_ttr_lin1_nyu_200it CHECKPOINT
Without a network: --cfg-options model.backbone.pretrained=False model.backbone.checkpoint=FILE
Published RMSE: none published.
"""

from mmengine.config import read_base

with read_base():
    from .augreg_vitt16_lin1_nyu_200it import *

model.backbone.registers = dict(neurons="auto")
