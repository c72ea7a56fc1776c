"""Bring a data set into the layout that the configs read (NYU Depth V2)."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from ttr_backbones.errors import InputError

_CONFIG = "dinov2_vits14_lin1_nyu_dinov2"
_OFFICIAL = {"nyu_train.txt": 24231, "nyu_test.txt": 654, "nyu_labelled_train.txt": 795}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data set, its sources and the folder to write."""
    parser.add_argument("dataset", choices=["nyu"], help="data set")
    parser.add_argument(
        "--mat", type=Path, help="nyu_depth_v2_labeled.mat: the 654 test images (needs --splits)"
    )
    parser.add_argument("--splits", type=Path, help="splits.mat, the official split")
    parser.add_argument(
        "--train",
        action="store_true",
        help="also the 795 labelled training images of --mat, as nyu_labelled_train.txt; the "
        "published numbers are trained on the 24,231 of --bts",
    )
    parser.add_argument(
        "--bts", type=Path, metavar="DIR|ZIP", help="BTS's sync.zip, or what it was unpacked to"
    )
    parser.add_argument(
        "--lists", type=Path, metavar="DIR", help="folder of BTS's lists (default: that of --bts)"
    )
    parser.add_argument("--out", type=Path, default=Path("data/nyu"), help="folder to write")
    parser.add_argument(
        "--force", action="store_true", help="overwrite files that are there and differ"
    )


def run(args: argparse.Namespace) -> int:
    """Write the pairs and their lists, and print how many there are."""
    if args.mat is None and args.bts is None:
        raise InputError(
            "prepare nyu needs a source: --mat nyu_depth_v2_labeled.mat --splits splits.mat for "
            "the test images, --bts sync.zip for the training images, or both."
        )
    if (args.mat is None) != (args.splits is None) or (args.train and args.mat is None):
        raise InputError("--mat and --splits are used together, and --train needs both.")
    if args.lists is not None and args.bts is None:
        raise InputError("--lists are those of --bts, which is not given: add it, or leave it out.")
    counts: dict[str, int] = {}
    if args.mat is not None:
        counts |= _from_mat(args)
    if args.bts is not None:
        counts |= _from_bts(args)
    for name, count in counts.items():
        official = _OFFICIAL[name]
        remark = "as published" if count == official else f"NOTE: {official} are published"
        print(f"{args.out / name}: {count} pairs ({remark})")
    print(f"Check every file with: {_next_command(args.out, counts)}")
    return 0


def _next_command(out: Path, counts: Iterable[str]) -> str:
    """Return the command that checks what was written; what is not there is left out of it."""
    listed = {name for name in _OFFICIAL if name in counts or (out / name).is_file()}
    command = ["ttrb", "check-data", _CONFIG, "--data-root", shlex.quote(str(out))]
    options = []
    if "nyu_train.txt" not in listed:
        labelled = "nyu_labelled_train.txt"
        options += (
            [f"train_dataloader.dataset.ann_file={labelled}"]
            if labelled in listed
            else ["train_dataloader=None"]
        )
    if "nyu_test.txt" not in listed:
        options += ["val_dataloader=None", "test_dataloader=None"]
    return " ".join(command + (["--cfg-options", *options] if options else []))


def _from_mat(args: argparse.Namespace) -> dict[str, int]:
    from ttr_backbones.datasets.prepare_nyu import LabelledNYU

    names = {"nyu_test.txt": "test"} | ({"nyu_labelled_train.txt": "train"} if args.train else {})
    counts = {}
    with LabelledNYU(args.mat, args.splits) as source:
        for name, split in names.items():
            numbers = source.numbers(split)
            pairs = [source.paths(number) for number in numbers]
            _write(args, name, pairs, (source.encode(number) for number in numbers))
            counts[name] = len(pairs)
    return counts


def _from_bts(args: argparse.Namespace) -> dict[str, int]:
    from ttr_backbones.datasets.bts_archive import BTSArchive

    source = BTSArchive(args.bts, args.lists)
    # The labelled file is where the test images come from in the first place.
    splits = ["train"] if args.mat is not None else ["train", "test"]
    found = {f"nyu_{split}.txt": source.pairs(split) for split in splits}
    found = {name: pairs for name, pairs in found.items() if pairs}
    if not found:
        raise InputError(
            f"{args.bts} holds no pair of NYU Depth V2: expected <scene>/rgb_*.jpg with "
            "<scene>/sync_depth_*.png, as in BTS's sync.zip or official_splits/test."
        )
    for name, pairs in found.items():
        _write(args, name, pairs, (tuple(map(source.read, pair)) for pair in pairs))
    return {name: len(pairs) for name, pairs in found.items()}


def _write(
    args: argparse.Namespace,
    list_name: str,
    pairs: list[tuple[str, str]],
    contents: Iterator[tuple[bytes, ...]],
) -> None:
    """Write every pair below `args.out`, and then the list that names them."""
    from ttr_backbones.app.progress import ProgressBar
    from ttr_backbones.datasets.prepare_nyu import list_line

    listed = "".join(list_line(*pair) for pair in pairs).encode()
    _differs(args.out / list_name, listed, force=args.force)  # before hours of work, not after
    bar = ProgressBar()
    try:
        for done, (pair, content) in enumerate(zip(pairs, contents, strict=True), start=1):
            for name, data in zip(pair, content, strict=True):
                _write_file(args.out / name, data, force=args.force)
            bar(done, len(pairs))
    finally:
        bar.close()
    _write_file(args.out / list_name, listed, force=args.force)


def _write_file(path: Path, content: bytes, *, force: bool) -> None:
    from ttr_backbones.atomic import write_atomically

    if _differs(path, content, force=force):
        write_atomically(path, content)


def _differs(path: Path, content: bytes, *, force: bool) -> bool:
    """Return whether `path` has to be written; a different file there is an error."""
    if not path.exists():
        return True
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return False
    if not force:
        raise InputError(
            f"{path} is there already and differs from what would be written. Give another folder "
            "with --out, or --force to overwrite it."
        )
    return True
