"""DINOv2 ViT-L/14, trained with 4 registers.

As in DINOv2's evaluation, the final norm on every taken block; the repository resamples the
position embedding of these models as timm does.
"""

backbone = dict(
    type="TimmViT",
    model="vit_large_patch14_reg4_dinov2.lvd142m",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DINOv2 ViT-L/14",
    parent="dinov2_vitl14",  # the same model trained without registers
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
