"""DINOv2 ViT-L/14 with 4 trained registers, frozen, its last four blocks.

As in DINOv2's evaluation (final norm on every taken block, centred padding); the repository
resamples the position embedding of these models as timm does.
"""

channels = 1024
backbone = dict(
    type="TimmViT",
    model="vit_large_patch14_reg4_dinov2.lvd142m",
    pretrained=True,
    out_indices=(-4, -3, -2, -1),
    final_norm=True,
    pos_embed="timm",
    pad="center",
    frozen=True,
)
