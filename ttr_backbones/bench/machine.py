"""The machine that the numbers come from, and how fast it multiplies matrices."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from ttr_backbones.bench.rounds import Log, silent
from ttr_backbones.bench.timing import seconds_of, times_for

NUMBERS = {"fp32": torch.float32, "bf16": torch.bfloat16}
_SIDES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
_RUNS = 5
_LONG = 1.0  # seconds; a side whose product would take longer is not tried


@dataclass(frozen=True)
class Machine:
    """What the numbers depend on besides the setting of a part.

    Args:
        device: torch's name of the device.
        processor: the CPU's name.
        threads: of torch on the CPU.
        gpu: the GPU's name; None on the CPU.
        torch: its version.
        timm: its version.
        rates: operations per second of the fastest square matrix product tried, by kind of number.
    """

    device: str
    processor: str
    threads: int
    gpu: str | None
    torch: str
    timm: str
    rates: Mapping[str, float]

    def __str__(self) -> str:
        where = f"{self.gpu}, " if self.gpu else ""
        text = f"{where}{self.processor}, {self.threads} threads; torch {self.torch}, "
        text += f"timm {self.timm}"
        rates = [f"{rate / 1e9:,.0f} GFLOP/s in {kind}" for kind, rate in self.rates.items()]
        return f"{text}; matrix products: {', '.join(rates)}" if rates else text


def this_machine(
    device: torch.device, *, matrix_products: bool = True, log: Log = silent
) -> Machine:
    """Describe the machine.

    Args:
        device: what is used of it.
        matrix_products: measure them; it takes seconds.
        log: called with lines of progress.
    """
    rates = {}
    if matrix_products:
        log("matrix products of this machine")
        rates = {number: matrix_rate(dtype, device) for number, dtype in NUMBERS.items()}
    return Machine(
        device=str(device),
        processor=_processor(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        torch=torch.__version__,
        timm=version("timm"),
        rates=rates,
    )


def matrix_rate(
    dtype: torch.dtype, device: torch.device, sides: Sequence[int] | None = None
) -> float:
    """Operations per second of torch.mm: the best of several sides, the median of each.

    Args:
        dtype: of both matrices.
        device: to multiply on.
        sides: of the square matrices; by default from small to as large as the device needs.
    """
    best = 0.0
    for side in sides or _SIDES["cuda" if device.type == "cuda" else "cpu"]:
        left, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

        def product(left: torch.Tensor = left, other: torch.Tensor = other) -> None:
            torch.mm(left, other)

        product()
        once = seconds_of(product, device)
        taken = median(seconds_of(product, device, times_for(once)) for _ in range(_RUNS))
        best = max(best, 2 * side**3 / taken)
        if 8 * once > _LONG:
            break  # a CPU that has to emulate bfloat16; twice the side is eight times the work
    return best


def _processor() -> str:
    """Name of the CPU; Linux tells it in /proc/cpuinfo only."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
