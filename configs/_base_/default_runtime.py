"""What every run shares: modules to import, hooks, logging, seeds.

To see in TensorBoard or W&B how clean the features are (see LogArtifacts), put into a config
    custom_hooks += [dict(type="LogArtifacts", interval=50)]
TensorBoard: --cfg-options visualizer.vis_backends.0.type=TensorboardVisBackend
W&B:         --cfg-options visualizer.vis_backends.0.type=WandbVisBackend
"""

default_scope = "mmseg"
custom_imports = dict(
    imports=[
        "ttr_backbones.backbones",
        "ttr_backbones.heads",
        "ttr_backbones.datasets",
        "ttr_backbones.engine",
        "ttr_backbones.evaluation",
        "ttr_backbones.losses",
        "ttr_backbones.segmentors",
        "ttr_backbones.object_discovery",
        "ttr_backbones.classification",
        "ttr_backbones.attention_masks",
        "ttr_backbones.zero_shot",
        "ttr_backbones.open_vocabulary",
        "ttr_backbones.probes",
        "ttr_backbones.tasks",
        "ttr_backbones.report.artifact_hook",
    ],
    allow_failed_imports=False,
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # A checkpoint is a head of at most a few megabytes, so saving often costs nothing.
    checkpoint=dict(type="HeadCheckpointHook", by_epoch=False, interval=1000, max_keep_ckpts=3),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
custom_hooks = [
    dict(type="SafeCheckpoint"),
    dict(type="SaveOnSignal"),
    dict(type="StopOnNaN"),
    dict(type="CheckNormalization"),
    dict(type="CheckInputSize"),
    dict(type="CheckLeftOut"),
]

visualizer = dict(
    type="SegLocalVisualizer", vis_backends=[dict(type="SafeVisBackend")], name="visualizer"
)
log_processor = dict(by_epoch=False)
log_level = "INFO"
load_from = None
resume = False

tta_model = dict(type="SegTTAModel")  # with --tta
