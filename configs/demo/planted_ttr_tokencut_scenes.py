"""The demo's small random ViT with a test-time register, object discovery, synthetic scenes.

Protocol: `ttrb demo --task discovery` writes scenes and weights, tests this config on three seeds
    of the model, and prints the table: before planting, planted, planted with a test-time register.
Test: ttrb test planted_ttr_tokencut_scenes --data-root ttrb_demo/scenes
    --cfg-options model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
Published CorLoc: none published; the model is planted and the scenes are drawn.
"""

from mmengine.config import read_base

with read_base():
    from .planted_tokencut_scenes import *

model.backbone.registers = dict(neurons={2: [100, 200]})
