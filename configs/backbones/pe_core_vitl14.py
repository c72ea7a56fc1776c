"""PE-Core ViT-L/14.

Its embedding is pooled from all tokens; LOST takes values, as for CLIP.
"""

backbone = dict(
    type="TimmViT",
    model="vit_pe_core_large_patch14_336.fb",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="PE-Core ViT-L/14",
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="value",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
