"""The options that training and testing share, named as in mmseg."""

from __future__ import annotations

import argparse
import re

from ttr_backbones.app.launcher import add_launcher
from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shared options to `parser`."""
    parser.add_argument("--work-dir", help="folder for logs and results")
    add_overrides(parser)
    add_launcher(parser)


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add the backbone and the repair of a protocol that is named alone."""
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="with a protocol's name (linear_ade20k): a backbone of `ttrb configs`, any timm name, "
        "or a file like those in configs/backbones",
    )
    parser.add_argument(
        "--repair", metavar="NAME", help="a repair of `ttrb configs`, as in ttr; none takes it out"
    )


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add the options that change a config."""
    add_recipe_options(parser)
    parser.add_argument("--data-root", metavar="DIR", help="data_root of every data set")
    add_cfg_options(parser)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options`."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="override config values, as in model.backbone.checkpoint='my run/vit.pth' a.b=1e-3 "
        "c='[8,11]' d=None. Numbers, True, False, None, [lists], (tuples) and 'strings' are read "
        "as in Python; a,b,c is a list where the config has one; anything else stays as typed",
    )


def add_feature_cache(parser: argparse.ArgumentParser) -> None:
    """Add `--feature-cache`."""
    parser.add_argument(
        "--feature-cache",
        metavar="DIR",
        help="keep what the frozen backbone computes of every image that is evaluated, and take it "
        "from there when the image comes again (megabytes per image)",
    )


def allow_negative_lists(parser: argparse.ArgumentParser) -> None:
    """Let an option take -1,-2: argparse asks this pattern whether it is a number."""
    parser._negative_number_matcher = re.compile(r"-[\d.]")  # noqa: SLF001


def integer_list(option: str, text: str, least: int | None = None) -> list[int]:
    """Read whole numbers.

    Args:
        option: as the user writes it, for the message.
        text: what stands behind it.
        least: the smallest number that may be in it.

    Raises:
        InputError: anything but such numbers separated by commas.
    """
    parts = comma_list(text)
    for part in parts:
        if not re.fullmatch(r"-?[0-9]+", part) or (least is not None and int(part) < least):
            bound = "" if least is None else f" of {least} or more"
            raise InputError(
                f"{option} {text}: expected whole numbers{bound} separated by commas, as in 1,8, "
                f"got {part!r}"
            )
    return list(dict.fromkeys(map(int, parts)))


def number_list(option: str, text: str) -> list[float]:
    """Read finite numbers, as `integer_list` reads whole ones."""
    parts = comma_list(text)
    for part in parts:
        if not re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?", part):
            raise InputError(
                f"{option} {text}: expected numbers separated by commas, as in 0,-0.1, got {part!r}"
            )
    return list(dict.fromkeys(map(float, parts)))
