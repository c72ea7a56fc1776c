"""SCLIP (arXiv 2312.01597): queries attend to queries and keys to keys in the last block.

Numbers of the released configs: short side 336 (COCO-Stuff 448, Cityscapes 560), windows of 224
pixels every 112, the rest below. OpenAI CLIP ViT-B/16, its own mean and std, 80 templates.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.clip_vitb16 import backbone, facts
    from .._base_.open_vocabulary.voc21 import *
    from .._base_.heads.open_vocabulary import *

numbers = dict(short_side=336, crop=224, stride=112, logit_scale=40.0)
numbers.update(
    dict(
        voc21=dict(logit_scale=65.0, prob_thd=0.1, area_thd=0.1),
        context60=dict(logit_scale=50.0, prob_thd=0.1),
        coco_object=dict(logit_scale=50.0, prob_thd=0.1),
        coco_stuff=dict(short_side=448),
        cityscapes=dict(short_side=560),
    ).get(data.name, dict())
)
numbers.update(data.get("numbers", dict()))
test_dataloader.dataset.pipeline[1].update(scale=(2048, numbers.pop("short_side")))
model.update(
    backbone=dict(backbone, out_indices=(-1,), final_norm=True, pos_embed="dinov2"),
    text=text,
    last_block=dict(attention="sclip"),
    **numbers,
)
protocol = dict(title=f"SCLIP, {data.title}", tta=False)
del backbone, facts, data, text, numbers, protocol
