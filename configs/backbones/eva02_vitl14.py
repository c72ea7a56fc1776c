"""EVA-02 ViT-L/14.

Masked image modelling on Merged-38M, not fine-tuned. Its norm is one for the pooled image, so
there is none for tokens: protocols that ask for one (final_norm=True) refuse it.
"""

backbone = dict(
    type="TimmViT",
    model="eva02_large_patch14_224.mim_m38m",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="EVA-02 ViT-L/14",
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="key",
    mean=[122.7709383, 116.7460125, 104.09373615],
    std=[68.5005327, 66.6321579, 70.32316305],
)
