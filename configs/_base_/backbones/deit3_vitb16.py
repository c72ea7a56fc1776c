"""DeiT-III ViT-B/16 (ImageNet-22k, then 1k), frozen, its last four blocks.

As in Denoising-ViT, which the TTR paper uses: features before the final norm, the
position embedding resampled as timm does. Centred padding matters at patch size 14 only.
"""

channels = 768
backbone = dict(
    type="TimmViT",
    model="deit3_base_patch16_224.fb_in22k_ft_in1k",
    pretrained=True,
    out_indices=(-4, -3, -2, -1),
    final_norm=False,
    pos_embed="timm",
    pad="center",
    frozen=True,
)
