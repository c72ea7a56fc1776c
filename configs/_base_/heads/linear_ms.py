"""DINOv2's "+ms": the last four blocks concatenated, 640 px, and a multi-scale test.

The published numbers need --tta; without it the test runs at one scale. The stride of 320 is the
one of two independent ports; the official config was not seen.
"""

from mmengine.config import read_base

with read_base():
    from .linear import *

model.data_preprocessor.size = (640, 640)
model.decode_head.in_index = [0, 1, 2, 3]
model.test_cfg = dict(mode="slide", crop_size=(640, 640), stride=(320, 320))
