"""Linear segmentation on frozen features as DINOv2 does it ("lin."): one block, 512 px.

BatchNorm over the patch tokens of the last block, then a 1x1 convolution to the classes; windows
of 512 px with a stride of 341 in the test. A protocol puts in the backbone, its number of channels
and the number of classes.

Source: DINOv2 paper (arXiv 2304.07193) and the configs beside its released heads. Where it pads
to multiples of 14, the logits of the padded map are resized to the unpadded size, not cut.
"""

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    decode_head=dict(
        type="LinearSegHead",
        in_index=[3],
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=False),
    ),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
