"""Linear depth on frozen features as DINOv2 does it: "lin.1" from one block, "lin.4" from four.

Patch and CLS tokens of a block side by side, upsampled x4, a 1x1 convolution to 256 bins between
1 mm and 10 m; the depth is the mean of the bins under the linearly normalised activations. In the
test the image and its mirror image are averaged. A protocol puts in the backbone and its number of
channels.

The published configs also name a GradientLoss of weight 0.5. As it was released it compares images
of a batch instead of neighbouring pixels and is exactly 0 at the published two images per GPU, so
SigLoss alone reproduces the numbers. A spatially correct one is one line away, and another
protocol: model.decode_head.loss_decode = [dict(type="SigLoss"), dict(type="GradientLoss",
loss_weight=0.5)].

Source: DINOv2 paper (arXiv 2304.07193), its released heads and the configs beside them. Where it
pads to multiples of 14, the map of the padded image is stretched over the unpadded one, not cut.
"""

model = dict(
    type="FlipDepthEstimator",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=0,  # also pads depth, where 0 means missing
        size=(416, 544),
    ),
    decode_head=dict(
        type="LinearDepthHead",
        n_bins=256,
        min_depth=1e-3,
        max_depth=10.0,
        upsample=4,
        loss_decode=dict(type="SigLoss"),
    ),
    test_cfg=dict(mode="whole", flip=True),
)
visualizer = dict(
    type="DepthVisualizer", vis_backends=[dict(type="SafeVisBackend")], name="visualizer"
)
