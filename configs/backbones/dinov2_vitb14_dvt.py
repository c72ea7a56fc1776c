"""DINOv2 ViT-B/14, distilled by Denoising-ViT.

The authors' `imgnet_distilled` weights of huggingface.co/jjiaweiyang/DVT (`voc_distilled` is the
same with less data): put the file where `checkpoint` says, or say where it is. Features before the
final norm, as in their evaluation.
"""

backbone = dict(
    type="TimmViT",
    model="vit_base_patch14_dinov2.lvd142m",
    pretrained=False,
    checkpoint="checkpoints/imgnet_distilled/vit_base_patch14_dinov2.lvd142m.pth",
    final_norm=False,
    pos_embed="timm",
    frozen=True,
)
facts = dict(
    title="DINOv2 ViT-B/14, distilled by Denoising-ViT",
    channels=768,
    four_blocks=(2, 5, 8, 11),
    facet="key",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
