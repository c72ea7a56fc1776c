"""RTA-100, or any images called label=OBJECT_text=WORD.png (github.com/azuma164/Defense-Prefix).

Where the words stand is not part of it. To move register neurons onto them give a file of boxes as
test_dataloader.dataset.ann_file=FILE (see `TypographicAttacks`).
"""

test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="TypographicAttacks",
        data_root="data/rta100",
        data_prefix=dict(img_path="."),
        pipeline=[
            dict(type="LoadImage"),
            dict(type="ModelCrop"),
            dict(type="PackTypographicInputs"),
        ],
    ),
)
test_evaluator = dict(type="TypographicMetric")
