"""PE-Core ViT-B/16.

Its embedding is pooled from all tokens; LOST takes values, as for CLIP.
"""

backbone = dict(
    type="TimmViT",
    model="vit_pe_core_base_patch16_224.fb",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="PE-Core ViT-B/16",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="value",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
