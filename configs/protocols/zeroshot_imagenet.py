"""Zero-shot classification, ImageNet-1k, top-1: CLIP's.

Another backbone, or a repair, needs no file:
    ttrb test zeroshot_imagenet --backbone clip_vitb16 --repair ttr
or shorter clip_vitb16_ttr_zeroshot_imagenet. In this file it is the first import.

Protocol: OpenAI's 80 templates and the cleaned names, mean of unit vectors; the model's own size,
bicubic, centre crop. First, once: ttrb text MODEL --classes imagenet --out
data/text_vectors/MODEL_imagenet.safetensors (the message of a missing file has the whole command).
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.imagenet_zero_shot import *
    from .._base_.heads.zero_shot import *

model.backbone = dict(backbone, out_indices=(-1,), final_norm=True)
model.text = "data/text_vectors/{model}_imagenet.safetensors"
test_dataloader.dataset.pipeline[1].model = backbone["model"]
protocol = dict(title="zero-shot, ImageNet-1k", tta=False)
del backbone, facts, protocol
