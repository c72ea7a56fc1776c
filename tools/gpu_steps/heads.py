"""Eight heads trained in one pass, against one."""

from __future__ import annotations

from gpu_steps.rows import record_rows
from gpu_steps.step import Check
from ttr_backbones.bench.train import bench_train
from ttr_backbones.bench.training import TrainSetting
from ttr_backbones.bench.variants import VARIANTS

_HEADS = 8


def run(check: Check) -> None:
    """Time the training steps in bfloat16, with few images and with many."""
    scale = check.scale
    setting = TrainSetting(scale.sizes[1], scale.classes)
    for batch in (16, 2) if check.device.type == "cuda" else (2,):
        measured = bench_train(
            scale.benched(scale.base),
            setting=setting,
            heads=_HEADS,
            batch_sizes=(batch,),
            variants=[VARIANTS["bf16"]],
            rounds=min(scale.rounds, 5),
            device=check.device,
            log=print,
        )
        where = f"{scale.base}, {setting.size} px, {setting.num_classes} classes"
        goal = {f"ours, {_HEADS} heads in one pass": "heads"}
        record_rows(check, measured.rows, where, goals=goal)
