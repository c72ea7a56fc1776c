"""The machine, the versions, the settings of torch, and how fast it multiplies matrices."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata

import torch

from gpu_steps.step import Check
from ttr_backbones.bench.compile_counts import compile_failure
from ttr_backbones.bench.machine import NUMBERS, matrix_rate, this_machine

_PACKAGES = ("timm", "mmengine", "mmcv-lite", "mmcv", "mmsegmentation", "numpy", "triton")


def run(check: Check) -> None:
    """Record all of it; the matrix products last."""
    device = check.device
    check.record("machine", str(this_machine(device, matrix_products=False)))
    versions = {name: version for name in _PACKAGES if (version := _version(name))}
    check.record("versions", versions, ", ".join(f"{n} {v}" for n, v in versions.items()))
    if device.type == "cuda":
        _gpu(check)
    tf32 = {
        "matrix products": torch.backends.cuda.matmul.allow_tf32,
        "convolutions": torch.backends.cudnn.allow_tf32,
    }
    check.record(
        "TF32 for fp32", tf32, ", ".join(f"{n}: {'on' if v else 'off'}" for n, v in tf32.items())
    )
    if device.type == "cuda":
        check.record("torch.compile", compile_failure(device) or "works")
    else:
        check.record("torch.compile", "rehearsed: what is to be compiled runs eagerly")
    for number, dtype in NUMBERS.items():
        rate = matrix_rate(dtype, device, check.scale.matrix_sides)
        check.record(f"matrix products, {number}", rate, f"{rate / 1e12:,.3g} TFLOP/s")


def _gpu(check: Check) -> None:
    properties = torch.cuda.get_device_properties(check.device)
    capability = ".".join(map(str, torch.cuda.get_device_capability(check.device)))
    check.record(
        "GPU",
        properties.name,
        f"{properties.name}, compute capability {capability}, "
        f"{properties.multi_processor_count} multiprocessors",
    )
    free, total = torch.cuda.mem_get_info(check.device)
    check.record("memory", [free, total], f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    check.record("CUDA of torch, cuDNN", f"{torch.version.cuda}, {torch.backends.cudnn.version()}")
    check.record("NCCL", ".".join(map(str, torch.cuda.nccl.version())))
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,power.limit"]
        command += ["--format=csv,noheader"]
        query = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        check.record("driver, clock, power limit", query.stdout.strip() or query.stderr.strip())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
