"""LOST: one box per image from the features of a ViT, without any training.

As published (arXiv 2109.14279): features of the last block's queries, keys or values, images in
their own size and one by one, zeros right and at the bottom up to a multiple of the patch, the 100
patches of lowest degree, no bias, no normalisation of the features. Images are normalised with the
backbone's own mean and std. A `Resize` behind `LoadImage` changes what the model sees; boxes stay
in pixels of the image on disk.

A protocol puts in the backbone and its facet. Facets are those of Darcet et al.
(arXiv 2309.16588): keys for DINO and DINOv2, values for OpenCLIP and supervised models. That paper
and the test-time register paper (arXiv 2506.08010) add a bias that neither gives, and the latter
takes the best of several blocks and facets: `ttrb sweep CONFIG` looks for them.
"""

from mmengine.config import read_base

with read_base():
    from ..default_runtime import *

model = dict(type="ObjectDiscoverer", method=dict(type="lost", k=100, bias=0.0, normalize=False))
# torch's DistributedDataParallel refuses a model without parameters to train.
model_wrapper_cfg = dict(type="NoModelWrapper")
test_cfg = dict(type="TestLoop")
visualizer.type = "BoxVisualizer"
