"""Measure speed and memory, beside plain timm and the usual ways to write it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ttr_backbones.atomic import write_atomically
from ttr_backbones.cli.arguments import integer_list
from ttr_backbones.cli.bench_parts import MEASURES, MODEL
from ttr_backbones.errors import InputError, MissingFileError, unknown_name

PARTS = {
    "forward": "the frozen backbone: plain timm, ours without and with a register, as token and as "
    "bias, the authors' form of the hook; eager, compiled, bf16, channels-last",
    "train": "a training step of a linear head, and of several heads in one pass",
    "search": "the neuron search",
    "object-discovery": "object discovery (LOST) after the backbone",
    "memory": "what fits on which GPU, worked out without running anything",
}
# What each part takes, with its value if none is given; None is worked out later.
_VIT: dict[str, Any] = {"model": None, "checkpoint": None, "size": None}
_IMAGES = {**_VIT, "images": None, "num_images": 32, "batch_sizes": "8", "rounds": 5}
_OPTIONS: dict[str, dict[str, Any]] = {
    "forward": {
        **_VIT,
        "neurons": None,
        "other_size": None,
        "variants": None,
        "batch_sizes": "1,8",
        "rounds": 5,
        "quick": False,
    },
    "train": {
        **_VIT,
        "neurons": None,
        "variants": None,
        "num_classes": 150,
        "heads": 8,
        "batch_sizes": "2",
        "rounds": 5,
    },
    "search": _IMAGES,
    "object-discovery": {**_IMAGES, "size": 480},  # VOC's images have about 500 x 375
    "memory": {
        "models": None,
        "size": None,
        "num_classes": 150,
        "heads": 1,
        "batch_sizes": "1,8,32",
    },
    "all": {"model": None, "checkpoint": None, "rounds": 3},
}
# What `all` gives to its parts, so that they take minutes together.
_SHORT: dict[str, dict[str, Any]] = {
    "forward": {"batch_sizes": "4", "short": True},
    "train": {"size": 224},
    "search": {"num_images": 16},
    "object-discovery": {"num_images": 8},
    "memory": {"batch_sizes": "8"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be measured, and the options."""
    parser.description = (
        "Contestants run in turn, round after round; a ratio compares two runs of one round, and "
        "medians are over the rounds. Without a part: all of them in a short form. Weights and "
        "images are random where none are given: they take the same time."
    )
    parts = [f"{name}: {what}." for name, what in PARTS.items()]
    parser.epilog = " ".join(parts)
    add = parser.add_argument
    add("part", nargs="?", default="all", help=f"all, {', '.join(PARTS)} (all)")
    add("--model", help=f"timm name ({MODEL})")
    add("--models", metavar="A,B", help="memory: timm names (DINOv2 S, B, L, g)")
    add("--checkpoint", type=Path, metavar="FILE", help="local weight file")
    add("--neurons", type=Path, metavar="FILE", help="list of register neurons (the model's)")
    add("--size", type=int, help="side of the images in pixels")
    add("--other-size", type=int, help="forward: alternates with it while graphs are counted")
    add("--batch-sizes", metavar="N,N", help="images at a time")
    add("--variants", metavar="A,B", help="eager,compiled,bf16,compiled-bf16,channels-last")
    add("--num-classes", type=int, help="train, memory: classes of the heads (150)")
    add("--heads", type=int, help="train, memory: linear heads trained at once (8; 1)")
    add("--images", type=Path, metavar="DIR", help="search, object-discovery: photographs")
    add("--num-images", type=int, help="search, object-discovery: number of images (32)")
    add("--rounds", type=int, help="medians are over these")
    quick = "forward: batches of 4, three rounds, eager, and bf16 if that fits into two minutes"
    add("--quick", action="store_const", const=True, help=quick)
    add("--device", help="torch device (default: the GPU if there is one)")
    add("--threads", type=int, help="threads on the CPU (torch's default)")
    add("--json", type=Path, metavar="FILE", help="write all numbers here too")


def run(args: argparse.Namespace) -> int:
    """Measure, print one table, write the numbers if asked."""
    parts = _parts_to_measure(args)
    from ttr_backbones.app.devices import choose_device
    from ttr_backbones.app.messages import log_to_stderr
    from ttr_backbones.app.progress import StatusLine
    from ttr_backbones.bench.machine import this_machine
    from ttr_backbones.bench.table import as_json, as_table
    import torch  # isort: skip

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    log_to_stderr()
    status = StatusLine()
    try:
        measured = [MEASURES[part](options, device, status.show) for part, options in parts.items()]
        timed = any(part.rows for part in measured)
        machine = this_machine(device, matrix_products=timed, log=status.show)
    finally:
        status.close()
    print(machine)
    print("\n".join(as_table(machine, measured)))
    if args.json is not None:
        write_atomically(args.json, as_json(machine, measured).encode())
    return 0


def _parts_to_measure(args: argparse.Namespace) -> dict[str, argparse.Namespace]:
    """Return the parts to measure, each with all its options, checked.

    Raises:
        MissingFileError: a file or folder that does not exist.
        InputError: no such part, an option that it does not have, a value that cannot be.
    """
    if args.part not in _OPTIONS:
        raise InputError(unknown_name("part of the bench", args.part, _OPTIONS))
    known = set().union(*_OPTIONS.values())
    chosen = {name: value for name, value in vars(args).items() if value is not None}
    for name in sorted(known & set(chosen) - set(_OPTIONS[args.part])):
        places = [part for part, options in _OPTIONS.items() if name in options]
        raise InputError(
            f"{_spelt(name)} is no option of `ttrb bench {args.part}`; it goes with "
            f"{', '.join(places)}"
        )
    _check(chosen)
    parts = {}
    for part in PARTS if args.part == "all" else [args.part]:
        short = {}
        if args.part == "all" or args.quick:
            short = {**_SHORT[part], "rounds": _OPTIONS["all"]["rounds"]}
        options = {"short": False, **_OPTIONS[part], **short, **chosen}
        options["batch_sizes"] = integer_list("--batch-sizes", options["batch_sizes"], least=1)
        parts[part] = argparse.Namespace(**options)
    return parts


def _check(chosen: dict[str, Any]) -> None:
    least = {"size": 1, "other_size": 1, "num_classes": 2, "heads": 1, "num_images": 1}
    for name, low in {**least, "rounds": 1, "threads": 1}.items():
        if chosen.get(name, low) < low:
            raise InputError(f"{_spelt(name)} {chosen[name]}: expected a number, {low} or more")
    for name in ("checkpoint", "neurons"):
        if name in chosen and not chosen[name].is_file():
            raise MissingFileError(f"--{name} {chosen[name]}: no such file")
    if "json" in chosen and not chosen["json"].parent.is_dir():
        raise MissingFileError(f"--json {chosen['json']}: no folder {chosen['json'].parent}")


def _spelt(name: str) -> str:
    return f"--{name.replace('_', '-')}"
