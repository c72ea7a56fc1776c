"""DINOv3 ViT-B/16.

Weights under the DINOv3 licence, which restricts their use; they are gated on the hub. The four
registers are the model's own; rotary positions, so that there is no position embedding to resample.
"""

backbone = dict(
    type="TimmViT",
    model="vit_base_patch16_dinov3.lvd1689m",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DINOv3 ViT-B/16",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
