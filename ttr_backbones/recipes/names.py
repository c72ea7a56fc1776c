"""The names of recipes: `<backbone>[_<repair>]_<protocol>`, and what a wrong one may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ttr_backbones.compat import prepare_torchvision
from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.recipes.axes import axis_files, protocol_files, protocol_named
from ttr_backbones.recipes.evaluate import default_backbone
from ttr_backbones.timm_names import vit_names

NO_REPAIR = "none"
# The one repair whose file is not called as its type.
_FILES_OF_TYPES = {"test_time": "ttr"}
_HUBS = ("hf-hub:", "hf_hub:", "local-dir:", "hf:")


@dataclass(frozen=True)
class RecipeName:
    """One point of the three axes.

    Args:
        backbone: file in `configs/backbones`, a timm name, or the path of such a file.
        repair: file in `configs/repairs`, the path of such a file, or None.
        protocol: file in `configs/protocols`, or `<method>_<data set>`, see `protocol_files`.
    """

    backbone: str
    repair: str | None
    protocol: str

    def __str__(self) -> str:
        backbone = self.backbone
        if backbone.endswith(".py"):
            backbone = Path(backbone).stem
        # Names of hubs hold what no file name may.
        backbone = re.sub(r"[^\w.+-]+", "_", backbone)
        repair = self.repair
        if repair is not None and repair.endswith(".py"):
            repair = Path(repair).stem
        return "_".join(part for part in (backbone, repair, self.protocol) if part)


def parse_name(name: str, *, backbone: str | None = None, repair: str | None = None) -> RecipeName:
    """Take a recipe's name apart.

    Args:
        name: `<backbone>[_<repair>]_<protocol>`, or a protocol's name alone: the backbone is then
            `backbone`, or else the small one that the protocol's file imports.
        backbone: that of `name`, if it names none.
        repair: that of `name`, if it names none, or the path of a file like those in
            `configs/repairs`; "none" is no repair.

    Raises:
        MissingFileError: a part of the name is unknown; the message has the nearest ones.
        InputError: `name` names a backbone or a repair, and another one is asked for.
    """
    repair = _FILES_OF_TYPES.get(repair or "", repair)
    stem = name.removesuffix(".py").removeprefix("./").removeprefix("configs/")
    stem = stem.removeprefix("protocols/")
    protocol = _suffix(stem, axis_files("protocols")) or _suffix(stem, protocol_files())
    if protocol is None:
        raise MissingFileError(_unknown_protocol(name, stem))
    rest = stem.removesuffix(protocol).removesuffix("_")
    named_repair = None
    if rest not in axis_files("backbones"):
        named_repair = _suffix(rest, axis_files("repairs"))
        rest = rest.removesuffix(named_repair or "").removesuffix("_")
    chosen = _agreed(name, "backbone", rest or None, backbone)
    if chosen is None:
        chosen = default_backbone(protocol_named(protocol).path)
    if chosen is None:
        raise InputError(f"{name}: the protocol imports no backbone of its own: give --backbone")
    if repair not in (None, NO_REPAIR):
        repair_path(repair)
    wanted = _agreed(name, "repair", named_repair, repair)
    check_backbone(chosen)
    return RecipeName(chosen, None if wanted == NO_REPAIR else wanted, protocol)


def repair_path(name: str) -> Path:
    """Return the file of a repair, of its name in `configs/repairs` or its path.

    Raises:
        MissingFileError: there is none.
    """
    files = axis_files("repairs")
    name = _FILES_OF_TYPES.get(name, name)
    if name in files:
        return files[name]
    if not name.endswith(".py"):
        raise MissingFileError(unknown_name("repair", name, (NO_REPAIR, *files)))
    path = Path(name).expanduser()
    if not path.is_file():
        raise MissingFileError(f"--repair {name}: no such file")
    return path


def check_backbone(name: str) -> None:
    """Check that there is such a backbone.

    Raises:
        MissingFileError: it is in no file and timm does not know it.
    """
    if name in axis_files("backbones") or is_timm_name(name):
        return
    if name.endswith(".py"):
        if not Path(name).expanduser().is_file():
            raise MissingFileError(f"--backbone {name}: no such file")
        return
    known = [*axis_files("backbones"), *vit_names()]
    near = difflib.get_close_matches(name.partition(".")[0], known, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise MissingFileError(
        f"unknown backbone {name!r}.{hint} Known: {', '.join(axis_files('backbones'))}, and every "
        "Vision Transformer of timm by its tagged name."
    )


def is_timm_name(name: str) -> bool:
    """Whether timm makes a model of this name: one of its own, of a hub or of a folder."""
    if name.startswith(_HUBS):
        return True
    prepare_torchvision()
    import timm

    return bool(timm.is_model(name.partition(".")[0]))


def all_names(*, methods: bool = False) -> list[RecipeName]:
    """Return every recipe of the files of the three axes.

    Args:
        methods: those of each method on each data set too, of which there are thousands.
    """
    protocols = protocol_files() if methods else axis_files("protocols")
    return [
        RecipeName(backbone, repair, protocol)
        for backbone in axis_files("backbones")
        for repair in (None, *axis_files("repairs"))
        for protocol in protocols
    ]


def _suffix(name: str, known: Iterable[str]) -> str | None:
    """Return the longest known name that `name` is or ends with behind an underscore."""
    ends = [end for end in known if name == end or name.endswith(f"_{end}")]
    return max(ends, key=len, default=None)


def _agreed(name: str, axis: str, named: str | None, option: str | None) -> str | None:
    if named is not None and option not in (None, named):
        raise InputError(
            f"{name} names the {axis} {named!r} and --{axis} asks for {option!r}: leave one out"
        )
    return named if option is None else option


def _unknown_protocol(name: str, stem: str) -> str:
    """Say what is wrong with a name that ends with no protocol."""
    begins = [b for b in axis_files("backbones") if stem.startswith(f"{b}_")]
    if begins:
        rest = stem.removeprefix(f"{max(begins, key=len)}_")
        for repair in axis_files("repairs"):
            rest = rest.removeprefix(f"{repair}_")
        return unknown_name("protocol", rest, protocol_files())
    names = [*protocol_files(), *map(str, all_names())]
    near = difflib.get_close_matches(stem, names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"{name} is no file and no recipe.{hint} Recipes are called <backbone>[_<repair>]_"
        f"<protocol>; protocols: {', '.join(protocol_files())}. `ttrb configs` lists all."
    )
