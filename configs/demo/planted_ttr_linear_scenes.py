"""The demo's small random ViT with a test-time register, linear head, synthetic scenes of 160 px.

Protocol: `ttrb demo` writes scenes and weights, trains this config on three seeds of the model, and
    prints the table: before planting, planted, planted with a test-time register.
Train: ttrb train planted_ttr_linear_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Test: ttrb test planted_ttr_linear_scenes CHECKPOINT --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Published mIoU: none published; the model is planted and the scenes are drawn.
"""

from mmengine.config import read_base

with read_base():
    from .planted_linear_scenes import *

model.backbone.registers = dict(neurons={2: [100, 200]})
