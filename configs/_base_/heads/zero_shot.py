"""Zero-shot classification: the embedding of an image against the vectors of class names.

model.text is a file of `ttrb text`; {model} in it stands for the backbone's name. Pooling and
projection are the model's own, cosines times 100, mean and std the model's own.
"""

from mmengine.config import read_base

with read_base():
    from ..default_runtime import *

model = dict(type="ZeroShotClassifier")
# torch's DistributedDataParallel refuses a model without parameters to train.
model_wrapper_cfg = dict(type="NoModelWrapper")
test_cfg = dict(type="TestLoop")
custom_hooks.append(dict(type="CheckTextClasses"))
visualizer.type = "ClassVisualizer"
