"""Try LOST with many blocks, facets and biases in one pass over the images."""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ttr_backbones.app.launcher import add_launcher, is_first, join_processes
from ttr_backbones.atomic import check_writable, no_empty_folder, write_atomically
from ttr_backbones.cli.arguments import (
    add_overrides,
    allow_negative_lists,
    integer_list,
    number_list,
)
from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.text_table import aligned

if TYPE_CHECKING:
    from mmengine.config import Config

    from ttr_backbones.cli.cross_validation import Hits
    from ttr_backbones.object_discovery.sweep import SweepResult

SweepRow = dict[str, Any]
_CSV = "held_out.csv"
WARNING = (
    "* best CorLoc of its repair. It was chosen on the evaluation set itself, as the published "
    "sweeps were: it says how good LOST can be made there, not what to expect on other images."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, what is swept, and where the table goes."""
    parser.description = (
        "CorLoc of LOST for every combination of block, facet, normalisation and bias, without and "
        "with repairs. Every image goes through the backbone once per repair. Prints the full "
        "table and writes it as sweep.csv and sweep.json. On several GPUs: torchrun "
        "--nproc-per-node N --no-python ttrb sweep CONFIG --launcher pytorch."
    )
    allow_negative_lists(parser)
    parser.add_argument("config", help="config of an ObjectDiscoverer with LOST, or its name")
    parser.add_argument("--blocks", default="-1,-2,-3,-4", help="blocks (-1,-2,-3,-4)")
    parser.add_argument("--facets", default="key,query,value", help="facets (key,query,value)")
    parser.add_argument("--bias", default="0", help="numbers added to every similarity (0)")
    parser.add_argument(
        "--normalize", action="store_true", help="try features scaled to length 1 beside raw ones"
    )
    parser.add_argument(
        "--repairs",
        metavar="KIND,...",
        help="none, and types of repairs: the config's repair, or else what ships for the model "
        "(none, and the config's or test_time if something ships)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder (work_dirs/CONFIG)")
    parser.add_argument(
        "--cross-validate", type=int, nargs="?", const=100, metavar="SPLITS",
        help="also choose the best setting on a random half of the images and score it on the "
        "other half, SPLITS times (100): what the choice is worth on other images",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the halves (0)")
    add_overrides(parser)
    add_launcher(parser)
    parser.set_defaults(work_dir=None)


def run(args: argparse.Namespace) -> int:
    """Sweep, print the table, write the files."""
    if args.out is None:
        return _run(args)
    with no_empty_folder(args.out):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    axes = _axes(args)
    from ttr_backbones.app.config import load_config
    from ttr_backbones.app.data_folders import check_folders
    from ttr_backbones.app.messages import log_to_stderr

    cfg = load_config(args)
    lost = _lost_arguments(cfg)
    if args.cross_validate is not None and min(args.cross_validate - 1, args.seed) < 0:
        raise InputError(
            f"--cross-validate {args.cross_validate} --seed {args.seed}: expected at least 1 split "
            "and a seed of at least 0"
        )
    check_folders(cfg, "test_dataloader")
    repairs = _repairs(args.repairs, cfg.model.backbone)
    out = args.out or Path(cfg.work_dir)
    check_writable(out)
    join_processes(args, cfg)
    log_to_stderr()
    rows: list[SweepRow] = []
    hits: dict[str, Hits] = {}
    for options in repairs:
        name, found = _swept(cfg, options, axes | {"k": lost.get("k", 100)})
        hits[name] = _hits(found)
        rows += _scores(name, found, hits[name])
    if not is_first():
        return 0
    _mark_best(rows)
    for line in _table(rows):
        print(line)
    print(WARNING)
    held_out: list[SweepRow] = []
    if args.cross_validate is not None:
        from ttr_backbones.cli.cross_validation import NOTE, cross_validated, held_out_table

        held_out = cross_validated(hits, args.cross_validate, args.seed)
        print("\n".join(["", *held_out_table(held_out), NOTE]))
    _write(rows, held_out, cfg, out)
    return 0


def _axes(args: argparse.Namespace) -> dict[str, Any]:
    from ttr_backbones.vits.taps import Facet

    facets = comma_list(args.facets)
    for facet in facets:
        if facet not in get_args(Facet):
            raise InputError(f"--facets: {unknown_name('facet', facet, get_args(Facet))}")
    return {
        "blocks": integer_list("--blocks", args.blocks),
        "facets": facets,
        "normalize": [False, True] if args.normalize else [False],
        "biases": number_list("--bias", args.bias),
    }


def _lost_arguments(cfg: Config) -> dict[str, Any]:
    from ttr_backbones.app.config import type_name
    from ttr_backbones.tasks import task_named

    models = task_named("object discovery").models
    method = dict(cfg.model.get("method") or {"type": "lost"})
    if type_name(cfg.model) not in models or method["type"] != "lost":
        raise InputError(
            f"ttrb sweep needs a config with model.type={' or '.join(map(repr, models))} and "
            f"model.method.type='lost', this one has {type_name(cfg.model)!r}"
            + (f" and {method['type']!r}" if "method" in cfg.model else "")
        )
    return method


def _repairs(wanted: str | None, backbone: Any) -> list[Any]:
    """Values of `backbone.repair` to sweep over."""
    from ttr_backbones.app.messages import note
    from ttr_backbones.repairs import REPAIRS
    from ttr_backbones.repairs.from_config import (
        DEFAULT,
        IN_RECIPES,
        NO_REPAIR,
        is_auto,
        repair_options,
    )

    default = dict(backbone.get("repair") or REPAIRS[DEFAULT].auto())
    names = comma_list(wanted) if wanted else [NO_REPAIR, str(default.get("type"))]
    found: list[Any] = []
    for named in names:
        name = DEFAULT if named == IN_RECIPES else named
        if name == NO_REPAIR:
            found.append(None)
            continue
        if name not in REPAIRS:
            known = (NO_REPAIR, *REPAIRS)
            raise InputError(f"--repairs: {unknown_name('choice', name, known)}")
        repair = default if default.get("type") == name else REPAIRS[name].auto()
        try:
            if is_auto(repair):
                repair_options(backbone.model, repair)
        except InputError as error:
            if wanted:
                raise
            note(f"the sweep is without the repair {name!r}: {error}")
            continue
        found.append(repair)
    return found


def _swept(cfg: Config, repair: Any, axes: dict[str, Any]) -> tuple[str, SweepResult]:
    """Run all images through the backbone with this repair; return its name, and the boxes.

    Raises:
        InputError: an image without true boxes.
    """
    from mmengine.device import get_device
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner
    from mmseg.registry import MODELS

    from ttr_backbones.app.config_errors import clear_config_errors
    from ttr_backbones.app.progress import ProgressBar
    from ttr_backbones.object_discovery.sweep import Sweep
    from ttr_backbones.report.inspection import registers_of

    init_default_scope("mmseg")
    with clear_config_errors():
        loader = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        backbone = {**cfg.model.backbone, "repair": repair}
        model = MODELS.build({**cfg.model, "backbone": backbone}).to(get_device()).eval()
    sweep, bar = Sweep(model.backbone, **axes), ProgressBar()
    try:
        for batch in loader:
            batch = model.data_preprocessor(batch)
            if not all("gt_boxes" in sample for sample in batch["data_samples"]):
                raise InputError(
                    "ttrb sweep compares CorLoc, but an image of test_dataloader came without true "
                    "boxes: take a data set with boxes (VOCBoxes, COCO20k) and put LoadBoxes in "
                    "its pipeline"
                )
            sweep(batch["inputs"], batch["data_samples"])
            bar(sweep.num_images, len(loader.sampler))
    finally:
        bar.close()
    return registers_of(model.backbone.vit), sweep.result(len(loader.dataset))


def _hits(found: SweepResult) -> Hits:
    from ttr_backbones.evaluation import corloc_hits

    return {cell: corloc_hits(list(boxes), found.true) for cell, boxes in found.boxes.items()}


def _scores(repair: str, found: SweepResult, hits: Hits) -> list[SweepRow]:
    return [
        {
            "repair": repair,
            **cell._asdict(),
            "CorLoc": round(100 * float(of_cell.mean()), 2),
            "collapsed": found.collapsed[cell],
            "images": len(found.true),
            "best": False,
        }
        for cell, of_cell in hits.items()
    ]


def _mark_best(rows: list[SweepRow]) -> None:
    """Mark the best of each repair; of equal ones the first."""
    for repair in {row["repair"] for row in rows}:
        same = [row for row in rows if row["repair"] == repair]
        max(same, key=lambda row: row["CorLoc"])["best"] = True


def _table(rows: list[SweepRow]) -> list[str]:
    headings = ["repair", "block", "facet", "normalize", "bias", "CorLoc", "collapsed"]
    cells = [
        [
            row["repair"],
            str(row["block"]),
            row["facet"],
            "yes" if row["normalize"] else "no",
            f"{row['bias']:g}",
            f"{row['CorLoc']:.2f}",
            str(row["collapsed"]),
            "*" if row["best"] else "",
        ]
        for row in rows
    ]
    return aligned([[*headings, f"of {rows[0]['images']} images"], *cells], "lrlrrrrl")


def _write(rows: list[SweepRow], held_out: list[SweepRow], cfg: Config, out: Path) -> None:
    _write_csv(rows, out / "sweep.csv")
    if held_out:
        flat = [{**row, **row["setting"]} for row in held_out]
        _write_csv([{k: v for k, v in row.items() if k != "setting"} for row in flat], out / _CSV)
    record = {
        "config": str(cfg.filename),
        "model": cfg.model.to_dict(),
        "dataset": cfg.test_dataloader.dataset.to_dict(),
        "note": WARNING,
        "rows": rows,
        **({"held_out": held_out} if held_out else {}),
    }
    text = json.dumps(record, indent=1, default=str) + "\n"
    write_atomically(out / "sweep.json", text.encode())
    names = ["sweep.csv", *([_CSV] if held_out else []), "sweep.json"]
    print(f"table: {', '.join(str(out / name) for name in names)}")


def _write_csv(rows: list[SweepRow], path: Path) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, table.getvalue().encode())
