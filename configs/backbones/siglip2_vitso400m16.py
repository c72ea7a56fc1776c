"""SigLIP 2 ViT-So400m/16.

The 512 px checkpoint, for dense tasks; no CLS.
"""

backbone = dict(
    type="TimmViT",
    model="vit_so400m_patch16_siglip_512.v2_webli",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="SigLIP 2 ViT-So400m/16",
    channels=1152,
    four_blocks=(5, 12, 19, 26),
    facet="key",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
