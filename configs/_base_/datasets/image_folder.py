"""A folder of images without ground truth, each in its own size: --data-root DIR."""

test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ImageFolder",
        data_root="data/images",
        pipeline=[dict(type="LoadImage"), dict(type="PackBoxInputs")],
    ),
)
test_evaluator = dict(type="CorLocMetric")
