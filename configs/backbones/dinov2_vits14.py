"""DINOv2 ViT-S/14.

As in its own evaluation: the final norm on every taken block, position embedding as in the DINOv2
repository.
"""

backbone = dict(
    type="TimmViT",
    model="vit_small_patch14_dinov2.lvd142m",
    pretrained=True,
    final_norm=True,
    pos_embed="dinov2",
    frozen=True,
)
facts = dict(
    title="DINOv2 ViT-S/14",
    channels=384,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
