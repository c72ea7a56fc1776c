"""Find and verify the register neurons of many models, into one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.app.messages import note, warn
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.atomic import check_writable
from ttr_backbones.cli.model_and_images import add_image_arguments, load, warn_of_left_out_images
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from ttr_backbones.app.vit_source import VitSource
    from ttr_backbones.atlas.entry import Entry
    from ttr_backbones.atlas.folder import AtlasFolder

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb atlas`."""
    parser.description = (
        "Searches the register neurons of one model after the other on three quarters of the "
        "images, verifies them on the rest, and writes one table (atlas.md, atlas.csv, atlas.html) "
        "and one list per model, as they ship. A model that is done, with the same weights and "
        "images, is not done again; one that fails is printed and passed over. Exit code 0: "
        "every model was looked at, whatever came out, 1: some could not be, 2: wrong input."
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="NAME_OR_PATTERN",
        help="tagged timm names, backbones of `ttrb configs`, or patterns of either in quotes",
    )
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a model with the weights of a local file; may be given several times",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the tables and lists"
    )
    add_image_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Go through the models, print a line for each."""
    from ttr_backbones.atlas.entry import ERROR, failed
    from ttr_backbones.atlas.folder import AtlasFolder
    from ttr_backbones.atlas.models import atlas_models, origin
    from ttr_backbones.images.photos import photo_files

    sources = atlas_models(args.models, args.checkpoint)
    for option, count in (("--num-images", args.num_images), ("--batch-size", args.batch_size)):
        if count is not None and count < 1:
            raise InputError(f"{option} {count}: expected a number above 0")
    photo_files(args.images)
    check_writable(args.out)
    atlas = AtlasFolder(args.out)
    failures = 0
    for number, (title, source) in enumerate(sources.items(), start=1):
        place = f"[{number}/{len(sources)}] {title}"
        if sys.stderr.isatty():
            note(place)
        try:
            entry = _entry(args, title, source, atlas)
        except Exception as error:  # noqa: BLE001 (one model of many must not end the others)
            entry = failed(source.model, origin(source), error)
            atlas.add(title, entry)
            warn(f"{place}: {entry.verdict}")
        failures += entry.status == ERROR
        line = "could not be done" if entry.status == ERROR else f"{entry.status}. {entry.verdict}"
        print(f"{place}: {line}", flush=True)
    print(f"table: {args.out / 'atlas.html'}, atlas.md, atlas.csv")
    return EXIT_FAILED if failures else 0


def _entry(args: argparse.Namespace, title: str, source: VitSource, atlas: AtlasFolder) -> Entry:
    """Return what is known of a model, or find it out."""
    from ttr_backbones.atlas.entry import Entry, examine, release
    from ttr_backbones.atlas.models import licence, origin
    from ttr_backbones.neuron_search.provenance import files_hash
    from ttr_backbones.vits.neurons import model_name
    from ttr_backbones.vits.weights_hash import weights_hash

    bar = ProgressBar()
    try:
        vit, images = load(args, bar, source)
        weights, seen = weights_hash(vit), files_hash(images)
        size = max(images.size) if images.size else None
        known = atlas.entries.get(title)
        if known is not None and known.same_inputs(weights, seen, size):
            note(f"{title} is done already")
            return known
        findings = examine(vit, images)
    finally:
        bar.close()
        release()
    warn_of_left_out_images(images)
    entry = Entry(
        model=model_name(vit) or source.model,
        source=origin(source),
        licence=licence(source),
        weights_sha256=weights,
        images_sha256=seen,
        input_size=size,
        **findings.numbers(),
    )
    return atlas.add(title, entry, findings)
