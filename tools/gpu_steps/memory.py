"""Peak memory, against what `ttrb bench memory` works out."""

from __future__ import annotations

from gpu_steps.step import Check
from ttr_backbones.bench.memory import Numbers, footprint, measured_footprint
from ttr_backbones.bench.training import TrainSetting

_HEADS = 8
_GB = 1e9


def run(check: Check) -> None:
    """Work out and measure, for both kinds of numbers."""
    scale = check.scale
    setting = TrainSetting(scale.sizes[1], scale.classes)
    kwargs = dict(scale.model_kwargs)
    on_gpu = check.device.type == "cuda"
    batches = (8, 32) if on_gpu else (2,)
    kinds: tuple[Numbers, ...] = ("bf16", "fp32")
    for model in dict.fromkeys((scale.base, scale.large)):
        for numbers in kinds:
            for batch in batches:
                expected = footprint(
                    model, numbers, batch, setting, _HEADS, model_kwargs=kwargs,
                    head_device="meta" if on_gpu else "cpu",
                )  # fmt: skip
                found = measured_footprint(expected, setting, _HEADS, check.device, kwargs)
                where = f"{model}, {setting.size} px, {numbers}, batch {batch}"
                _record_memory(check, f"{where}: forward", expected.forward, found.measured_forward)
                _record_memory(
                    check, f"{where}: {_HEADS} heads", expected.train, found.measured_train
                )


def _record_memory(check: Check, what: str, expected: int, measured: int | None) -> None:
    if measured is None:
        check.record(what, None, f"{expected / _GB:.3f} GB worked out, no room to measure it")
        return
    times = measured / expected
    text = f"{measured / _GB:.3f} GB measured, {expected / _GB:.3f} worked out: {times:.3f}"
    check.record(what, abs(times - 1), text, goal="memory")
