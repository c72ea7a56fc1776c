"""DFN CLIP ViT-L/14 (2B).

QuickGELU, as it was trained with; the model's own mean and std. Weights under Apple's sample code
licence (apple-ascl), which restricts their use.
"""

backbone = dict(
    type="TimmViT",
    model="vit_large_patch14_clip_quickgelu_224.dfn2b",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DFN CLIP ViT-L/14 (2B)",
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="value",
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
)
