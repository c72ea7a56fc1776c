"""DeiT-III ViT-B/16 (ImageNet-22k, then 1k).

As in Denoising-ViT, which the paper of test-time registers uses: features before the final norm,
the position embedding resampled as timm does, and ImageNet's mean and std,
which are the model's own.
"""

backbone = dict(
    type="TimmViT",
    model="deit3_base_patch16_224.fb_in22k_ft_in1k",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DeiT-III ViT-B/16 (ImageNet-22k, then 1k)",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="value",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
