"""k nearest neighbours as DINOv2 evaluates: nothing is trained.

CLS after the last block and the final norm, divided by its norm; neighbours by cosine, weighted by
softmax(similarity / 0.07). The best of four k is quoted: it is chosen on the images of the test.
--cfg-options model.token=register (or mean_patch, central_patch, outlier_patch, pooled) takes
another feature, model.bank_dtype=float16 half the memory.

Source: DINOv2 (arXiv 2304.07193; the settings are those of its repository, dinov2/eval/knn.py).
"""

from mmengine.config import read_base

with read_base():
    from ..default_runtime import *

model = dict(type="KnnClassifier", k=(10, 20, 100, 200), temperature=0.07, token="cls")
# torch's DistributedDataParallel refuses a model without parameters to train.
model_wrapper_cfg = dict(type="NoModelWrapper")
visualizer.type = "ClassVisualizer"
