"""The small random ViT of `ttrb demo`, which plants its register neurons.

Without weights of its own: --cfg-options
model.backbone.checkpoint=ttrb_demo/weights/seed0_planted.safetensors
"""

backbone = dict(
    type="TimmViT",
    model="vit_tiny_patch16_224",
    model_kwargs=dict(img_size=160, embed_dim=96, depth=6, num_heads=3),
    frozen=True,
)
facts = dict(
    title="small random ViT",
    channels=96,
    four_blocks=(2, 3, 4, 5),
    facet="key",
    mean=[127.5] * 3,
    std=[127.5] * 3,
    # The options of a repair that only this backbone needs.
    repairs=dict(ttr=dict(neurons={2: [100, 200]})),
)
