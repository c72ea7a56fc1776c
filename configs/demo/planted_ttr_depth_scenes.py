"""The demo's small random ViT with a test-time register, linear depth head, synthetic scenes.

Protocol: `ttrb demo --task depth` writes scenes and weights, trains this config on three seeds of
    the model, and prints the table: before planting, planted, planted with a test-time register.
Train: ttrb train planted_ttr_depth_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Test: ttrb test planted_ttr_depth_scenes CHECKPOINT --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Published RMSE: none published; the model is planted and the scenes are drawn.
"""

from mmengine.config import read_base

with read_base():
    from .planted_depth_scenes import *

model.backbone.registers = dict(neurons={2: [100, 200]})
