"""What will be run, what will not and why, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ttr_backbones.app.data_check import check, distinct_datasets
from ttr_backbones.app.data_folders import missing_path
from ttr_backbones.benchmark.bound_cells import bind_cell
from ttr_backbones.benchmark.inputs import DataFacts, data_facts
from ttr_backbones.benchmark.suite import Suite
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.compare.plan import Cell, TableRow, make_plan
from ttr_backbones.compare.repair_names import TRAINED, check_repair
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.file_hash import file_hash
from ttr_backbones.recipes import (
    RecipeName,
    axis_files,
    backbone_facts,
    check_backbone,
    protocol_facts,
)

_SHOWN = 3  # problems of a data set


@dataclass(frozen=True)
class BenchmarkRequest:
    """What the user wants measured.

    Args:
        backbones: name -> file of its weights, None takes the hub's; one that was trained with
            registers is the line "trained" of its parent, see `check_request`.
        data: folder of the data sets, in place of `data/`.
        kinds: repairs, see `compare.repair_names`.
        seeds: of the trainings.
        suite: the protocols.
        out: folder of everything.
        cfg_options: changes to the configs, as in `ttrb compare`.
        fitted: backbone -> repairs that were fitted for it, as paths.
        not_fitted: (what, why) of those that could not be.
    """

    backbones: Mapping[str, Path | None]
    data: Path
    kinds: Sequence[str]
    seeds: Sequence[int]
    suite: Suite
    out: Path
    cfg_options: Sequence[str] = ()
    fitted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    not_fitted: Sequence[tuple[str, str]] = ()

    @property
    def experiments(self) -> dict[str, Path | None]:
        """The backbones that are no other's line "trained"."""
        return {name: file for name, file in self.backbones.items() if _parent(name) is None}


def _parent(backbone: str) -> str | None:
    """Return the backbone that this one is but for trained registers, None if it has none."""
    if backbone not in axis_files("backbones"):
        return None
    parent: str | None = backbone_facts(backbone).facts.get("parent")
    return parent


@dataclass
class BenchmarkPlan:
    """The cells of a benchmark, and everything that is not among them.

    Args:
        cells: the runs.
        protocols: experiment -> its protocol.
        left_out: (what, why) of everything without a run.
        missing: protocol -> folder or list of its data that is not there, of those left out for it.
        rows_left_out: lines without a run, of repairs that do not exist for a backbone.
        data: protocol -> its data sets, of those that can be run.
        weights: backbone -> SHA-256 of its file, None where it comes from the hub.
        changes: protocol -> why its numbers do not compare with the published, "" where they do.
    """

    cells: list[Cell] = field(default_factory=list)
    protocols: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    rows_left_out: list[TableRow] = field(default_factory=list)
    data: dict[str, list[DataFacts]] = field(default_factory=dict)
    weights: dict[str, str | None] = field(default_factory=dict)
    changes: dict[str, str] = field(default_factory=dict)


def check_request(request: BenchmarkRequest) -> None:
    """Check what was named, before data are hashed or repairs fitted, which takes minutes.

    Raises:
        MissingFileError: no such backbone, weights or folder.
        InputError: no such repair, an option that is for none of the configs, or no data.
    """
    if not request.data.is_dir():
        raise MissingFileError(f"--data {request.data}: expected a folder of data sets")
    for backbone, file in request.backbones.items():
        check_backbone(backbone)
        if file is not None and not file.is_file():
            raise MissingFileError(f"{backbone}={file}: there is no such file of weights")
        parent = _parent(backbone)
        if parent and (parent not in request.backbones or TRAINED not in request.kinds):
            raise InputError(
                f"{backbone} is {parent} trained with registers, which is a line of the page of "
                f"that: name {parent} too, and {TRAINED} in --repairs"
            )
    for kind in request.kinds:
        check_repair(kind)
    options, has_data = _options(request), False
    for backbone in request.experiments:
        for protocol in request.suite.protocols:
            recipe = RecipeName(backbone, None, protocol)
            with suppress(InputError):  # a protocol that cannot be run is left out, and said to be
                cfg = options.load(recipe, str(recipe))
                datasets = [dataset for _, dataset in distinct_datasets(cfg)]
                has_data |= all(missing_path(dataset) is None for dataset in datasets)
    options.check_all_used()
    if not has_data:
        plan_benchmark(request)  # raises, with all that is missing


def plan_benchmark(request: BenchmarkRequest) -> BenchmarkPlan:
    """Open all data, hash it, and make the cells of every protocol that fits.

    Args:
        request: see `check_request`.

    Raises:
        InputError: nothing can be run.
    """
    plan = BenchmarkPlan()
    for backbone, file in request.backbones.items():
        plan.weights[backbone] = None if file is None else file_hash(file)
    first = next(iter(request.experiments))
    known: dict[str, DataFacts] = {}
    options = _options(request)
    for protocol in request.suite.protocols:
        _check_data(RecipeName(first, None, protocol), request, options, known, plan)
    plan.left_out += [*request.suite.others.items(), *request.not_fitted]
    for backbone in request.experiments:
        for protocol in plan.data:
            _add_cells(backbone, protocol, request, options, plan)
    if not plan.cells:
        raise InputError(_nothing(request, plan))
    options.check_all_used()
    return plan


def _nothing(request: BenchmarkRequest, plan: BenchmarkPlan) -> str:
    """Say why no protocol that was asked for can be run, every reason once."""
    others = request.suite.others
    reasons: dict[str, list[str]] = {}
    for what, why in plan.left_out:
        if what not in others:
            reasons.setdefault(why, []).append(what)
    lines = [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
    if others:
        lines.append(f"{len(others)} more are no part of this --suite")
    return f"nothing can be run on {request.data}:\n  " + "\n  ".join(lines)


def _options(request: BenchmarkRequest) -> ConfigChanges:
    """Return the changes of all configs: the suite's, the weights, the user's."""
    changes = []
    for backbone, weights in request.experiments.items():
        for protocol in request.suite.protocols:
            name = str(RecipeName(backbone, None, protocol))
            changes += request.suite.options(name, protocol)
            if weights is not None:
                changes.append(f"{name}:model.backbone.pretrained=False")
                changes.append(f"{name}:model.backbone.checkpoint={weights}")
    return ConfigChanges((), [*changes, *request.cfg_options], request.data)


def _check_data(
    recipe: RecipeName,
    request: BenchmarkRequest,
    options: ConfigChanges,
    known: dict[str, DataFacts],
    plan: BenchmarkPlan,
) -> None:
    """Note the data of a protocol, or why it cannot be run."""
    protocol = recipe.protocol
    try:
        cfg = options.load(recipe, str(recipe))
        found = []
        for loaders, dataset in distinct_datasets(cfg):
            if (path := missing_path(dataset)) is not None:
                plan.missing.setdefault(protocol, str(path))
            key = f"{loaders} {dataset!r}"
            if key not in known:
                checked = check(cfg, loaders, dataset, data_root_option=False)
                known[key] = data_facts(checked, request.data)
            found.append(known[key])
    except InputError as error:
        plan.left_out.append((protocol, str(error)))
        return
    problems = [problem for facts in found for problem in facts.problems]
    if problems:
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        plan.left_out.append((protocol, "; ".join(problems[:_SHOWN]) + more))
        return
    plan.data[protocol] = found
    options_used = set(options.used_by(cfg, str(recipe)))
    of_user = [option for option in request.cfg_options if option in options_used]
    plan.changes[protocol] = _changes(protocol, found, request.suite, of_user)


def _changes(
    protocol: str, found: Sequence[DataFacts], suite: Suite, cfg_options: Sequence[str]
) -> str:
    parts = [
        f"{facts.samples} images, {facts.unlike_published}"
        for facts in found
        if facts.unlike_published and facts.is_test
    ]
    parts += [
        f"{facts.samples} images to train on, {facts.unlike_published}"
        for facts in found
        if facts.unlike_published and not facts.is_test
    ]
    if protocol_facts(protocol).trial:
        parts.append("a trial run")
    if changed := suite.changed(protocol):
        parts.append(changed)
    if cfg_options:
        parts.append(f"changed by {' '.join(cfg_options)}")
    return "; ".join(parts)


def _add_cells(
    backbone: str,
    protocol: str,
    request: BenchmarkRequest,
    options: ConfigChanges,
    plan: BenchmarkPlan,
) -> None:
    name = str(RecipeName(backbone, None, protocol))
    kinds = [*request.kinds, *request.fitted.get(backbone, ())]
    try:
        found = make_plan(
            [protocol],
            kinds,
            request.seeds,
            request.out,
            options,
            backbone=backbone,
            more_follow=True,
        )
        plan.cells += [
            bind_cell(
                *(cell, backbone, request.backbones, plan.weights),
                data=plan.data[protocol],
                folder=request.data,
            )
            for cell in found.cells
        ]
    except InputError as error:
        plan.left_out.append((name, str(error)))
        return
    plan.rows_left_out += found.left_out
    plan.protocols |= {cell.row.experiment: protocol for cell in found.cells}
    plan.left_out += [_split(note) for note in found.notes if " is left out: " in note]


def _split(note: str) -> tuple[str, str]:
    what, _, why = note.partition(" is left out: ")
    return what, why
