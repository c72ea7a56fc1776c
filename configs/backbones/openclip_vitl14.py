"""OpenCLIP ViT-L/14 (LAION-2B).

As in Denoising-ViT, which the paper of test-time registers uses: features before the final norm,
the position embedding resampled as timm does, and ImageNet's mean and std
instead of the model's own.
"""

backbone = dict(
    type="TimmViT",
    model="vit_large_patch14_clip_224.laion2b",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="OpenCLIP ViT-L/14 (LAION-2B)",
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="value",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
