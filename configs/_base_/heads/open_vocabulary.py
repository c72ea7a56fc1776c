"""Open-vocabulary segmentation with the vectors of texts: nothing is trained."""

from mmengine.config import read_base

with read_base():
    from ..default_runtime import *

model = dict(type="OpenVocabularySegmentor")
# torch's DistributedDataParallel refuses a model without parameters to train.
model_wrapper_cfg = dict(type="NoModelWrapper")
test_cfg = dict(type="TestLoop")
custom_hooks.append(dict(type="CheckTextClasses"))
