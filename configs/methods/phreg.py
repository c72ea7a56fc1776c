"""The protocol of PH-Reg (arXiv 2505.21501) for its student: values alone in the last block.

It goes with the repair ph_reg and an artifact of CLIP: clip_vitb16_ph_reg_phreg_voc21. Numbers of
the released configs: short side 448 (VOC20 and COCO-Object 336, Cityscapes 560), windows of 336
pixels (Cityscapes 224) every 112. OpenAI CLIP ViT-B/16, 80 templates.
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.clip_vitb16 import backbone, facts
    from .._base_.open_vocabulary.voc21 import *
    from .._base_.heads.open_vocabulary import *

numbers = dict(short_side=448, crop=336, stride=112, logit_scale=40.0)
numbers.update(
    dict(
        voc21=dict(prob_thd=0.1),
        voc20=dict(short_side=336),
        context60=dict(prob_thd=0.1),
        coco_object=dict(short_side=336, prob_thd=0.1),
        cityscapes=dict(short_side=560, crop=224),
    ).get(data.name, dict())
)
numbers.update(data.get("numbers", dict()))
test_dataloader.dataset.pipeline[1].update(scale=(2048, numbers.pop("short_side")))
model.update(
    backbone=dict(backbone, out_indices=(-1,), final_norm=True, pos_embed="dinov2"),
    text=text,
    last_block=dict(attention="value", residual=False, mlp=False),
    **numbers,
)
protocol = dict(title=f"PH-Reg's protocol, {data.title}", tta=False)
del backbone, facts, data, text, numbers, protocol
