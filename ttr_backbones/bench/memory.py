"""`ttrb bench memory`: what fits where, worked out without weights, images or a GPU.

The backbone runs on tensors of torch's `FakeTensorMode`, the head on the meta device: both have
shapes and no memory, and `LiveMemory` counts what would live. That is exact for the eager path. On
a GPU the same runs are measured beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.live_memory import LiveMemory, bytes_of, peak_bytes
from ttr_backbones.bench.rounds import Log, silent
from ttr_backbones.bench.row import Measured
from ttr_backbones.bench.training import TrainSetting, make_training, random_batch
from ttr_backbones.text_table import aligned
from ttr_backbones.vits.taps import Tap

Numbers = Literal["fp32", "bf16"]

MODELS = tuple(f"vit_{size}_patch14_dinov2.lvd142m" for size in ("small", "base", "large", "giant"))
GPUS = (8, 12, 16, 24, 40, 80)  # gigabytes, as they are sold
RESERVED = 10**9  # bytes of CUDA's context, the workspaces of its libraries, fragments


@dataclass(frozen=True)
class Footprint:
    """Bytes that live at once, weights and inputs among them.

    Args:
        model: timm name.
        numbers: "fp32", or "bf16": autocast, frozen weights stored in it.
        batch_size: images at a time.
        loaded: weights of the backbone as they come to the device, in fp32.
        weights: of the backbone from the first pass on, resampled positions among them.
        forward: peak of its forward pass.
        train: peak of a training step of the heads.
        measured_forward: what a GPU's allocator saw; None where none was asked.
        measured_train: the same for the step.
    """

    model: str
    numbers: Numbers
    batch_size: int
    loaded: int
    weights: int
    forward: int
    train: int
    measured_forward: int | None = None
    measured_train: int | None = None


def bench_memory(
    models: Sequence[str] = MODELS,
    *,
    batch_sizes: Sequence[int] = (1, 8, 32),
    setting: TrainSetting | None = None,
    heads: int = 1,
    device: torch.device | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    log: Log = silent,
) -> Measured:
    """Work out the memory of the frozen forward pass and of training linear heads on it.

    Args:
        models: timm names.
        batch_sizes: images at a time.
        setting: size of the images and number of classes.
        heads: linear heads trained at once.
        device: a GPU to measure the same on.
        model_kwargs: more arguments of `timm.create_model`.
        log: called with lines of progress.

    Raises:
        InputError: see `TimmViT`.
    """
    setting = setting or TrainSetting()
    found = []
    for model in models:
        for numbers in ("fp32", "bf16"):
            for batch_size in batch_sizes:
                log(f"memory: {model}, {numbers}, batch of {batch_size}")
                result = footprint(
                    model, numbers, batch_size, setting, heads, model_kwargs=model_kwargs
                )
                if device is not None and device.type == "cuda":
                    result = measured_footprint(result, setting, heads, device, model_kwargs)
                found.append(result)
    described = {"size": setting.size, "classes": setting.num_classes, "heads": heads}
    notes = [
        f"memory: GB of 10^9 bytes; `on` is the smallest GPU of {', '.join(map(str, GPUS))} GB "
        "that holds the peak (or the fp32 weights that come first) and "
        f"{RESERVED / 1e9:g} GB for CUDA"
    ]
    facts = {"memory": [asdict(result) for result in found]}
    return Measured("memory", described, [], notes, facts, _lines(found))


def footprint(
    model: str,
    numbers: Numbers,
    batch_size: int,
    setting: TrainSetting,
    heads: int = 1,
    *,
    model_kwargs: Mapping[str, Any] | None = None,
    head_device: str = "meta",
) -> Footprint:
    """Work out one row.

    Args:
        model: timm name.
        numbers: of the backbone; heads are in fp32.
        batch_size: images at a time.
        setting: size of the images and number of classes.
        heads: linear heads trained at once.
        model_kwargs: more arguments of `timm.create_model`.
        head_device: where the heads run: "meta" is as on a GPU; on the "cpu" the loss takes smaller
            strips, and the step runs for real.
    """
    with torch.device("meta"):
        backbone = TimmViT(model, model_kwargs=model_kwargs, precision=numbers)
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a fake tensor has no address to ask for
        backbone.to_empty(device="cpu")
        loaded = bytes_of([*backbone.parameters(), *backbone.buffers()])
        images = torch.empty(batch_size, 3, setting.size, setting.size)
        with LiveMemory([*backbone.parameters(), *backbone.buffers(), images]) as memory:
            shape = _shape(backbone, images)  # from the first pass on, weights are as they stay
            memory.peak = memory.now
            _shape(backbone, images)
        weights = memory.now - bytes_of([images])
    forward = memory.peak
    step = _head_step(shape, backbone, setting, heads, torch.device(head_device))
    # While the backbone runs, the heads, their moments and the batch live too; while the heads
    # train, the backbone's weights do.
    train = max(forward + step.held, weights + step.peak)
    return Footprint(model, numbers, batch_size, loaded, weights, forward, train)


def _shape(backbone: TimmViT, images: Tensor) -> tuple[int, ...]:
    """Run the backbone and keep nothing but the shape of its map."""
    (maps,) = backbone(images)
    return tuple(maps.shape)


@dataclass(frozen=True)
class _Step:
    """Bytes of a training step without its backbone: what is held between steps, and the peak."""

    held: int
    peak: int


def _head_step(
    shape: tuple[int, ...],
    backbone: TimmViT,
    setting: TrainSetting,
    heads: int,
    device: torch.device,
) -> _Step:
    maps = torch.zeros(shape, device=device)
    batch = random_batch(setting, shape[0], device)
    training = make_training(_Maps(maps), backbone, setting, batch, heads=heads)
    training.step()
    held = training.held
    with LiveMemory([*held, maps]) as memory:
        training.step()
    return _Step(bytes_of(held), memory.peak)


class _Maps(nn.Module):
    """Stands for a backbone: its map is there already."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images: Tensor) -> tuple[Tensor]:
        del images
        return (self.maps,)

    def tapped(self, images: Tensor, taps: Sequence[Tap]) -> dict[Tap, Tensor]:
        del images
        return dict.fromkeys(taps, self.maps)

    def block_indices(self, blocks: Sequence[int], name: str) -> tuple[int, ...]:
        del name
        return tuple(blocks)


def measured_footprint(
    worked_out: Footprint,
    setting: TrainSetting,
    heads: int,
    device: torch.device,
    model_kwargs: Mapping[str, Any] | None,
) -> Footprint:
    """Run what was worked out, and add what was measured.

    Args:
        worked_out: of `footprint`, with the same setting, heads and model_kwargs.
        setting: of the training.
        heads: number of heads that are trained at once.
        device: to run on. On a GPU that has no room for it nothing is run or added; a CPU takes
            what `head_device="cpu"` works out.
        model_kwargs: more arguments of `timm.create_model`.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if worked_out.train + RESERVED > free:
            return worked_out
    backbone = TimmViT(
        worked_out.model, model_kwargs=model_kwargs, precision=worked_out.numbers
    ).to(device)
    images = torch.randn(worked_out.batch_size, 3, setting.size, setting.size, device=device)
    backbone(images)
    held = [*backbone.parameters(), *backbone.buffers(), images]
    forward = peak_bytes(lambda: backbone(images), held, device)
    batch = random_batch(setting, worked_out.batch_size, device)
    training = make_training(backbone, backbone, setting, batch, heads=heads)
    training.step()
    train = peak_bytes(training.step, training.held, device)
    return Footprint(**{**asdict(worked_out), "measured_forward": forward, "measured_train": train})


def smallest_gpu(peak: int) -> int | None:
    """The smallest of `GPUS` that holds `peak` bytes; None if none does."""
    return next((gpu for gpu in GPUS if peak + RESERVED <= gpu * 10**9), None)


def _lines(found: Sequence[Footprint]) -> list[str]:
    measured = any(footprint.measured_forward for footprint in found)
    headings = ["backbone", "", "batch", "weights", "forward", "on", "training", "on"]
    if measured:
        headings += ["measured: forward", "training"]
    rows = [headings]
    for footprint in found:
        cells = [
            footprint.model,
            footprint.numbers,
            str(footprint.batch_size),
            _gb(footprint.weights),
            _gb(footprint.forward),
            _gpu(max(footprint.forward, footprint.loaded)),
            _gb(footprint.train),
            _gpu(max(footprint.train, footprint.loaded)),
        ]
        if measured:
            cells += [_gb(footprint.measured_forward), _gb(footprint.measured_train)]
        rows.append(cells)
    return aligned(rows, "ll" + "r" * (len(headings) - 2))


def _gb(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:.2f}"


def _gpu(peak: int) -> str:
    gpu = smallest_gpu(peak)
    return "none" if gpu is None else str(gpu)
