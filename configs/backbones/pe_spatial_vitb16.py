"""PE-Spatial ViT-B/16.

It has no final norm: protocols that ask for one (final_norm=True) refuse it.
"""

backbone = dict(
    type="TimmViT",
    model="vit_pe_spatial_base_patch16_512.fb",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="PE-Spatial ViT-B/16",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
