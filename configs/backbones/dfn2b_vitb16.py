"""DFN CLIP ViT-B/16.

As in Denoising-ViT, which the paper of test-time registers uses: features before the final norm,
the position embedding resampled as timm does, and ImageNet's mean and std
instead of the model's own. Weights under Apple's sample code licence (apple-ascl), which restricts
their use.
"""

backbone = dict(
    type="TimmViT",
    model="vit_base_patch16_clip_224.dfn2b",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DFN CLIP ViT-B/16",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="value",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
