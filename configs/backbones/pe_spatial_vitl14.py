"""PE-Spatial ViT-L/14.

It has no final norm: protocols that ask for one (final_norm=True) refuse it.
"""

backbone = dict(
    type="TimmViT",
    model="vit_pe_spatial_large_patch14_448.fb",
    pretrained=True,
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="PE-Spatial ViT-L/14",
    channels=1024,
    four_blocks=(4, 11, 17, 23),
    facet="key",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
