"""DINO ViT-S/8.

The position embedding is resampled as in the DINO repository, whose way DINOv2 took over.
"""

backbone = dict(
    type="TimmViT",
    model="vit_small_patch8_224.dino",
    pretrained=True,
    final_norm=True,
    pos_embed="dinov2",
    frozen=True,
)
facts = dict(
    title="DINO ViT-S/8",
    channels=384,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
