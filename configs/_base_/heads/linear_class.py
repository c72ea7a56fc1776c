"""Linear classification of whole images on frozen features, as DINOv2 does it.

One linear layer on CLS of the last block, or of the last four, with or without the mean of the last
block's patches beside it. A protocol puts in the backbone and its number of channels.

Source: DINOv2 (arXiv 2304.07193; the settings are those of its repository, dinov2/eval/linear.py).
"""

from mmengine.config import read_base

with read_base():
    from ..default_runtime import *

model = dict(
    type="ImageClassifier",
    decode_head=dict(type="LinearClassHead", num_classes=1000, token="cls", mean_patch=True),
)
custom_hooks = [*custom_hooks, dict(type="CheckClasses")]
visualizer.type = "ClassVisualizer"
