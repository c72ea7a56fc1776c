"""MaskCLIP's attention (arXiv 2112.01071), values alone, by SCLIP's windows; residual and MLP kept.

The released code takes whole images of 520 pixels, a model with another activation, and refines
its keys: this is its last block in the setting of the others. OpenAI CLIP ViT-B/16, 80 templates.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.clip_vitb16 import backbone, facts
    from .._base_.open_vocabulary.voc21 import *
    from .._base_.heads.open_vocabulary import *

numbers = dict(short_side=336, crop=224, stride=112, logit_scale=40.0)
numbers.update(
    dict(
        voc21=dict(prob_thd=0.1),
        context60=dict(prob_thd=0.1),
        coco_object=dict(prob_thd=0.1),
        cityscapes=dict(short_side=560),
    ).get(data.name, dict())
)
numbers.update(data.get("numbers", dict()))
test_dataloader.dataset.pipeline[1].update(scale=(2048, numbers.pop("short_side")))
model.update(
    backbone=dict(backbone, out_indices=(-1,), final_norm=True, pos_embed="dinov2"),
    text=text,
    last_block=dict(attention="value"),
    **numbers,
)
protocol = dict(title=f"MaskCLIP, {data.title}", tta=False)
del backbone, facts, data, text, numbers, protocol
