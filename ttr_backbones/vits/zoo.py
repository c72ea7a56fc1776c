"""Every pretrained architecture of timm that a family knows, by its layout, and what works on it.

Architectures of one layout differ in sizes alone, so that one of them, made narrow and shallow,
says what works on all. `python -m ttr_backbones.vits.zoo` writes the table into vits/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import timm
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.text_table import replace_between
from ttr_backbones.vits.family import family_of, is_vit

BEGIN, END = "<!-- table: python -m ttr_backbones.vits.zoo -->", "<!-- end of table -->"
MODULES = ("vision_transformer", "deit", "eva")
_NARROW = {"embed_dim": 32, "num_heads": 2, "num_classes": 0}
_IDENTITY = nn.Identity()


class Layout(NamedTuple):
    """What architectures have in common, in words.

    Args:
        implementation: timm's class.
        prefix: tokens before the patches.
        positions: how a token knows its place.
        block: the class of a block.
        attention: its attention.
        mlp: its MLP with its activation and norm.
        norms: before the blocks, behind them, and of the pooled image.
        pool: how the image's embedding is made.
        layer_scale: whether blocks have it.
    """

    implementation: str
    prefix: str
    positions: str
    block: str
    attention: str
    mlp: str
    norms: str
    pool: str
    layer_scale: str


class ZooRow(NamedTuple):
    """A layout, its architectures, and what works on them.

    Args:
        layout: the layout.
        architectures: timm's names, in order.
        works: of `_TRIALS`.
        refused: {what does not work: why}.
    """

    layout: Layout
    architectures: list[str]
    works: list[str]
    refused: dict[str, str]


def narrow(architecture: str, depth: int = 1, **kwargs: Any) -> nn.Module:
    """Make an architecture with 32 channels, few blocks and random weights, for small images."""
    kwargs |= {**_NARROW, "depth": depth}
    try:
        vit: nn.Module = timm.create_model(architecture, **kwargs)
    except AssertionError:  # Sapiens2 has a number of shared heads for each block
        vit = timm.create_model(architecture, **kwargs, num_kv_heads=[1] * depth)
    return vit.eval()


def zoo() -> list[ZooRow]:
    """Group all architectures that have pretrained weights, in timm's order."""
    groups: dict[Layout, list[str]] = {}
    models: dict[Layout, nn.Module] = {}
    for architecture in architectures():
        vit = narrow(architecture)
        if is_vit(vit):
            layout = layout_of(vit)
            groups.setdefault(layout, []).append(architecture)
            models.setdefault(layout, vit)
    return [
        ZooRow(layout, names, *_tried(models[layout])) for layout, names in sorted(groups.items())
    ]


def architectures() -> list[str]:
    """Names of timm's modules of ViTs that have pretrained weights, each once."""
    names = [n for module in MODULES for n in timm.list_models(module=module, pretrained=True)]
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def layout_of(vit: Any) -> Layout:
    """Describe a model of timm."""
    block, layout = vit.blocks[0], family_of(vit).layout(vit)
    registers = layout.num_trained
    prefix = " + ".join(
        ["CLS"] * layout.num_cls
        + [f"{registers} register{'s' * (registers > 1)}"] * bool(registers)
    )
    scaled = getattr(block, "gamma_1", None) is not None or _has(block, "ls1")
    norms = [
        f"{before}{_kind(getattr(vit, name))}{behind}"
        for before, name, behind in (
            ("pre ", "norm_pre", ""),
            ("", "norm", ""),
            ("", "fc_norm", " of the pool"),
        )
        if _has(vit, name)
    ]
    return Layout(
        type(vit).__name__,
        prefix or "none",
        _positions(vit),
        _kind(block),
        _attention(block),
        _mlp(block),
        ", ".join(norms) or "none",
        str(vit.global_pool),
        "yes" if scaled else "no",
    )


def _positions(vit: Any) -> str:
    parts = []
    if vit.pos_embed is not None:
        patches_only = family_of(vit).facts(vit).prefix_has_positions is False
        parts.append("table" + " (patches only)" * (patches_only and vit.num_prefix_tokens > 0))
    rope = getattr(vit, "rope", None)
    if rope is not None:
        parts.append(_kind(rope).replace("RotaryEmbedding", "RoPE ").strip())
    return ", ".join(parts) or "none"


def _attention(block: Any) -> str:
    attention = getattr(block, "attn", None)
    if attention is None:
        return "in the block"
    kinds = [_kind(attention)]
    if getattr(attention, "qkv", None) is None:
        kinds.append("qkv apart")
    if getattr(attention, "num_kv_heads", attention.num_heads) != attention.num_heads:
        kinds.append("shared k, v")
    if getattr(attention, "q_bias", None) is not None:
        kinds.append("no bias of k")
    if _has(attention, "norm"):
        kinds.append("norm")
    return ", ".join(kinds)


def _mlp(block: Any) -> str:
    mlp = getattr(block, "mlp", None)
    if mlp is None:
        return "in the block"
    return f"{_kind(mlp)}, {_kind(mlp.act)}{', norm' * _has(mlp, 'norm')}"


def _has(module: Any, name: str) -> bool:
    return not isinstance(getattr(module, name, None) or _IDENTITY, nn.Identity)


def _kind(module: Any) -> str:
    return type(module).__name__


def _try_registers(vit: Any) -> None:
    family = family_of(vit)
    family.check(vit)
    for block in family.blocks(vit):
        family.second_linear(block)


def _try_constants(vit: Any) -> None:
    _try_registers(vit)
    for block in family_of(vit).blocks(vit):
        family_of(vit).check_constants(block)


def _try_attention(vit: Any) -> None:
    for block in family_of(vit).blocks(vit):
        family_of(vit).attention(block)


_TRIALS: dict[str, Callable[[Any], None]] = {
    "register": _try_registers,
    "bias": _try_constants,
    "qkv": _try_attention,
}


def _tried(vit: nn.Module) -> tuple[list[str], dict[str, str]]:
    reasons = {name: _why_not(trial, vit) for name, trial in _TRIALS.items()}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    return [name for name in reasons if name not in refused], refused


def _why_not(trial: Callable[[Any], None], vit: nn.Module) -> str | None:
    try:
        trial(vit)
    except InputError as error:
        what, _, why = str(error).partition(": ")
        return what if "registers have no place" not in what else why.partition(",")[0]
    return None


def table(rows: list[ZooRow]) -> str:
    """Lay the rows out as Markdown."""
    heads = (
        *("architectures", "class", "prefix", "positions", "attention", "MLP", "norms", "pool"),
        *("works", "refused"),
    )
    lines = [heads, ("---",) * len(heads)]
    for row in rows:
        more = len(row.architectures) - 1
        names = f"`{row.architectures[0]}`{f' and {more} more' * bool(more)}"
        layout = row.layout
        block = "" if layout.block in ("Block", "EvaBlock") else f" ({layout.block})"
        reasons: dict[str, list[str]] = {}
        for what, why in row.refused.items():
            reasons.setdefault(why, []).append(what)
        lines.append(
            (
                names,
                layout.implementation + block,
                layout.prefix,
                layout.positions,
                layout.attention,
                layout.mlp + ", LayerScale" * (layout.layer_scale == "yes"),
                layout.norms,
                layout.pool,
                ", ".join(row.works) or "nothing",
                "; ".join(f"{', '.join(what)}: {why}" for why, what in reasons.items()),
            )
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_table() -> None:
    """Put the table between the marks of the README.

    Raises:
        InputError: the marks are not there.
    """
    replace_between(Path(__file__).with_name("README.md"), BEGIN, END, table(zoo()))


if __name__ == "__main__":
    write_table()
