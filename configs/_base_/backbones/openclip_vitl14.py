"""OpenCLIP ViT-L/14 (LAION-2B), frozen, its last four blocks.

As in Denoising-ViT, which the TTR paper uses: features before the final norm, the
position embedding resampled as timm does. Centred padding matters at patch size 14 only.
"""

channels = 1024
backbone = dict(
    type="TimmViT",
    model="vit_large_patch14_clip_224.laion2b",
    pretrained=True,
    out_indices=(-4, -3, -2, -1),
    final_norm=False,
    pos_embed="timm",
    pad="center",
    frozen=True,
)
