"""Show what registers do to a model on your images: pictures, numbers and an HTML report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.atomic import check_writable, no_empty_folder
from ttr_backbones.cli.arguments import add_cfg_options
from ttr_backbones.cli.list_doubts import warn_of_doubts
from ttr_backbones.cli.model_and_images import warn_of_left_out_images
from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.result_names import relative_paths

if TYPE_CHECKING:
    from ttr_backbones.app.vit_source import VitSource
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.repairs.from_config import ConfiguredRepair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb show`."""
    parser.description = (
        "Runs a model on photographs without and with a test-time register, says in one sentence "
        "whether it has outliers and whether the register removes them, and writes pictures at "
        "print quality (norms, CLS attention, PCA, histograms, places, neurons; the same colour "
        "scale before and after), numbers.json and report.html. All images count in the numbers; "
        "the pictures show the first 8 and the report 16."
    )
    parser.add_argument(
        "model", metavar="MODEL|CONFIG", help="tagged timm name, or a config (file or name)"
    )
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, metavar="PATH", help="folders or files"
    )
    parser.add_argument(
        "--neurons", type=Path, metavar="FILE", help="register neurons (default: those that ship)"
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="local weight file (default: the hub's)"
    )
    parser.add_argument(
        "--repairs",
        metavar="KINDS",
        help="columns, separated by commas: none or trained (the model as it is), types of repairs "
        "and artifacts, one of a type (none and the config's, or else test_time)",
    )
    parser.add_argument(
        "--blocks",
        type=int,
        nargs="+",
        default=[-1],
        metavar="L",
        help="blocks whose CLS attention is drawn; negative ones count back (-1)",
    )
    parser.add_argument(
        "--foreground", action="store_true", help="PCA of the foreground alone, split by itself"
    )
    parser.add_argument(
        "--size", type=int, help="side of the square input in pixels (default: the model's)"
    )
    parser.add_argument(
        "--num-images", type=int, default=8, help="at most so many, spread evenly over all (8)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("ttrb_show"), help="folder to write into (ttrb_show)"
    )
    parser.add_argument("--device", help="torch device (default: the GPU if there is one)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without images that cannot be used"
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Inspect, print the verdict, write the report."""
    with no_empty_folder(args.out):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from ttr_backbones.app.vit_source import vit_source

    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out} is a file: expected a folder; it need not exist yet")
    files = image_files(args.images)
    source = vit_source(args)
    # Before the weights: they may be gigabytes to fetch, and the list may not exist.
    kinds, choices = _choices(source, args.neurons, args.repairs)
    device = choose_device(args.device)
    check_writable(args.out)
    vit = source.create().to(device)

    import torch

    from ttr_backbones.images.batches import image_batches
    from ttr_backbones.report.show import as_shown, inspect_columns, write_report
    from ttr_backbones.report.summary import summarize
    from ttr_backbones.vits.family import family_of

    batches = image_batches(
        files,
        vit,
        size=args.size,
        num_images=args.num_images,
        on_bad="skip" if args.skip_bad else "error",
    )
    images = torch.cat(list(batches))
    warn_of_left_out_images(batches)
    size = (images.shape[2], images.shape[3])
    neurons = _neurons(source, choices, vit)
    if neurons is not None:
        warn_of_doubts(neurons, vit, max(size))
    bar = ProgressBar()
    try:
        inspections = inspect_columns(
            vit,
            images,
            kinds,
            neurons=neurons,
            choices=choices,
            attention_blocks=args.blocks,
            progress=bar,
        )
    finally:
        bar.close()
    names = [path.as_posix() for path in relative_paths(batches.files).values()]
    summary = summarize(inspections, model=source.model, size=size, images=names, neurons=neurons)
    print(summary["verdict"], flush=True)
    shown = as_shown(images, family_of(vit).facts(vit))
    bar = ProgressBar("files drawn")
    try:
        write_report(
            args.out,
            inspections,
            shown,
            summary,
            foreground=args.foreground,
            on_written=_print_path,
            progress=bar,
        )
    finally:
        bar.close()
    return 0


def image_files(paths: list[Path]) -> list[Path]:
    """All images of the folders and files in `paths`, in this order, each once.

    Raises:
        MissingFileError: no such file or folder.
        InputError: a folder without images.
    """
    from ttr_backbones.images.photos import photo_files

    found: dict[Path, None] = {}
    for path in paths:
        path = path.expanduser()
        if not path.exists():
            raise MissingFileError(
                f"--images {path}: no such file or folder; expected images or folders with some"
            )
        found |= dict.fromkeys([path] if path.is_file() else photo_files(path))
    return list(found)


_CONTROL = (
    "is a control, which the report has no name for: `ttrb verify` and `ttrb compare` put controls "
    "into their tables"
)


def _choices(
    source: VitSource, neurons: Path | None, listed: str | None
) -> tuple[list[str], list[ConfiguredRepair]]:
    """The columns, and the repairs among them with everything looked up."""
    from ttr_backbones.repairs import REPAIRS
    from ttr_backbones.repairs.from_config import (
        DEFAULT,
        number_of_list,
        repair_options,
        with_neurons,
    )
    from ttr_backbones.report.columns import NONE

    default = dict(source.repair or REPAIRS[DEFAULT].auto())
    if neurons is not None:
        default = with_neurons(str(neurons), default)
    kinds = [NONE, str(default.get("type"))] if listed is None else comma_list(listed)
    repairs = _repairs(kinds, default)
    found = []
    for kind, repair in repairs.items():
        try:
            choice = repair_options(source.model, repair)
        except MissingFileError:
            raise
        except InputError as error:
            if not REPAIRS[kind].is_auto(repair):
                raise
            raise InputError(
                f"{error}, here with --neurons {source.model}.json. To see the model as it is: "
                "--repairs none"
            ) from error
        if choice is not None and choice.is_control:
            raise InputError(f"the repair {dict(repair)} {_CONTROL}")
        if choice is not None:
            # A list that no config names has the number of registers that it was found with.
            from_config = neurons is None and source.repair is not None
            found.append(choice if from_config and repair == default else number_of_list(choice))
    return kinds, found


def _repairs(kinds: list[str], default: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The repair of every type; files among `kinds` become their types.

    Raises:
        InputError: no repair, or two of one type.
    """
    from ttr_backbones.repairs.controls import split_control
    from ttr_backbones.repairs.from_config import DEFAULT, IN_RECIPES, parse_repair
    from ttr_backbones.report.columns import NONE, TRAINED

    repairs: dict[str, dict[str, Any]] = {}
    for index, kind in enumerate(kinds):
        if kind in (NONE, TRAINED):
            continue  # the model as it is
        if split_control(kind)[1]:
            raise InputError(f"--repairs: {kind} {_CONTROL}")
        kind = DEFAULT if kind == IN_RECIPES else kind
        same = default.get("type") == kind
        repair = default if same else dict(parse_repair(kind, default) or {})
        kinds[index] = repair["type"]
        if repair["type"] in repairs:
            raise InputError(
                f"--repairs: {kind} is a second repair of type {repair['type']!r}. Show them one "
                "after the other; `ttrb verify --repairs` takes several of one type"
            )
        repairs[repair["type"]] = repair
    return repairs


def _neurons(
    source: VitSource, choices: list[ConfiguredRepair], vit: Any
) -> RegisterNeurons | None:
    """The neurons whose activations are shown: those moved, else the model's if there are any."""
    for choice in choices:
        if choice.neurons is not None:
            choice.neurons.check(vit)
            return choice.neurons
    try:
        neurons = source.register_neurons(None)
        neurons.check(vit)
        return neurons
    except MissingFileError:
        raise
    except InputError:
        return None


def _print_path(path: Any) -> None:
    print(path, flush=True)
