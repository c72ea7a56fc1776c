"""augreg ViT-Ti/16, small enough for a CPU.

Features before the final norm, as in Denoising-ViT; the model's own mean and std.
"""

backbone = dict(
    type="TimmViT",
    model="vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="augreg ViT-Ti/16",
    channels=192,
    four_blocks=(2, 5, 8, 11),
    facet="value",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
