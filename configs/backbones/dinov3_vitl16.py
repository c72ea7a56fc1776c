"""DINOv3 ViT-L/16.

Weights under the DINOv3 licence, which restricts their use; they are gated on the hub. The four
registers are the model's own; rotary positions, so that there is no position embedding to resample.
The four blocks are those of DINOv3's evaluation. H+ needs no file:
--backbone vit_huge_plus_patch16_dinov3.lvd1689m.
"""

backbone = dict(
    type="TimmViT",
    model="vit_large_patch16_dinov3.lvd1689m",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DINOv3 ViT-L/16",
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
