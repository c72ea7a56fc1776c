"""ClearCLIP (arXiv 2407.12442): queries attend to queries in the last block; no residual, no MLP.

Numbers of the released configs: short side 448, windows of 448 pixels (Cityscapes 224) every 224,
zeros around windows that are no multiple of the patch. VOC and COCO-Object have one name a class,
the background too. OpenAI CLIP ViT-B/16, 80 templates.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.clip_vitb16 import backbone, facts
    from .._base_.open_vocabulary.voc21 import *
    from .._base_.heads.open_vocabulary import *

numbers = dict(short_side=448, crop=448, stride=224, fit="pad", logit_scale=50.0)
numbers.update(
    dict(
        voc21=dict(prob_thd=0.5),
        context60=dict(prob_thd=0.15),
        coco_object=dict(prob_thd=0.4),
        cityscapes=dict(crop=224),
    ).get(data.name, dict())
)
numbers.update(data.get("numbers", dict()))
if data.name in ("voc21", "voc20", "coco_object"):
    text.update(classes=f"{data.name}_single")
test_dataloader.dataset.pipeline[1].update(scale=(2048, numbers.pop("short_side")))
model.update(
    backbone=dict(backbone, out_indices=(-1,), final_norm=True, pos_embed="dinov2"),
    text=text,
    last_block=dict(attention="qq", residual=False, mlp=False),
    **numbers,
)
protocol = dict(title=f"ClearCLIP, {data.title}", tta=False)
del backbone, facts, data, text, numbers, protocol
