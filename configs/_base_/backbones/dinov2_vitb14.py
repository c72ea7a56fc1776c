"""DINOv2 ViT-B/14, frozen, its last four blocks.

As in its own evaluation: the final norm on every taken block, position embedding and centred
padding as in the DINOv2 repository.
"""

channels = 768
backbone = dict(
    type="TimmViT",
    model="vit_base_patch14_dinov2.lvd142m",
    pretrained=True,
    out_indices=(-4, -3, -2, -1),
    final_norm=True,
    pos_embed="dinov2",
    pad="center",
    frozen=True,
)
