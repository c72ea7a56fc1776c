"""Typographic attack, RTA-100, share of images taken for the word that is written on them.

Another backbone, or a repair, needs no file:
    ttrb test typographic_rta100 --backbone clip_vitb16 --repair ttr
or shorter clip_vitb16_ttr_typographic_rta100. In this file it is the first import.

Protocol: Defense-Prefix's; classes are all objects and words, template "a photo of a {}.". First,
once: ttrb text MODEL --classes data/rta100 --templates one --out
data/text_vectors/MODEL_rta100.safetensors. Register neurons on the patches of the words:
--repair ttr --cfg-options model.backbone.repair.positions=per_image
test_dataloader.dataset.ann_file=BOXES.json
"""

from mmengine.config import read_base

with read_base():
    from ..backbones.augreg_vitt16 import backbone, facts
    from .._base_.datasets.rta100 import *
    from .._base_.heads.zero_shot import *

model.backbone = dict(backbone, out_indices=(-1,), final_norm=True)
model.text = "data/text_vectors/{model}_rta100.safetensors"
test_dataloader.dataset.pipeline[1].model = backbone["model"]
protocol = dict(title="typographic attack, RTA-100", tta=False)
del backbone, facts, protocol
