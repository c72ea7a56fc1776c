"""DINO ViT-S/16, frozen, its last four blocks.

The position embedding is resampled as in the DINO repository, whose way DINOv2 took over.
"""

channels = 384
backbone = dict(
    type="TimmViT",
    model="vit_small_patch16_224.dino",
    pretrained=True,
    out_indices=(-4, -3, -2, -1),
    final_norm=True,
    pos_embed="dinov2",
    pad="center",
    frozen=True,
)
