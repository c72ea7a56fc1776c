"""augreg ViT-Ti/16, frozen, its last four blocks.

Small enough for a CPU; features before the final norm, as in Denoising-ViT.
"""

channels = 192
backbone = dict(
    type="TimmViT",
    model="vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    pretrained=True,
    out_indices=(-4, -3, -2, -1),
    final_norm=False,
    pos_embed="timm",
    pad="center",
    frozen=True,
)
