"""MAE ViT-B/16.

Weights under CC BY-NC 4.0: not for commercial use.
"""

backbone = dict(
    type="TimmViT",
    model="vit_base_patch16_224.mae",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="MAE ViT-B/16",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
