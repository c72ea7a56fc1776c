"""SigLIP 2 ViT-B/16.

The 512 px checkpoint, for dense tasks; no CLS.
"""

backbone = dict(
    type="TimmViT",
    model="vit_base_patch16_siglip_512.v2_webli",
    pretrained=True,
    final_norm=True,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="SigLIP 2 ViT-B/16",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[127.5] * 3,
    std=[127.5] * 3,
)
