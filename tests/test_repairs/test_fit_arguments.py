"""The options of a fit, read from its signature."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import REPAIRS, Repair
from ttr_backbones.repairs.fit_arguments import fit_arguments


class Declared(Repair):
    type, label, colour = "declared", "declared", "#000000"
    fit_options: ClassVar = dict.fromkeys(
        ("steps", "lr", "rule", "threshold", "keep", "scale", "untyped", "anything"), "a text"
    )

    def fit(
        self,
        vit: Any,
        images: Any,
        *,
        log: Any = None,
        steps: int = 300,
        lr: float = 0.1,
        rule: Literal["block", "product"] = "block",
        threshold: float | Literal["mad"] = "mad",
        keep: bool | None = None,
        scale: float | Sequence[float] = 1.0,
        untyped=4,
        **options: Any,
    ):
        raise NotImplementedError

    def apply(self, vit, artifact):
        raise NotImplementedError

    def describe(self, vit):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "20", 20),
        ("lr", "2", 2.0),
        ("rule", "product", "product"),
        ("threshold", "mad", "mad"),
        ("threshold", "3.5", 3.5),
        ("keep", "False", False),
        ("scale", "0.5", 0.5),
        ("scale", "1,0.5", [1.0, 0.5]),
        ("untyped", "5", 5),
        ("anything", "5", 5),
        ("anything", "five", "five"),
    ],
)
def test_values(name, text, value):
    (argument,) = (each for each in fit_arguments(Declared()) if each.name == name)
    read = argument.read(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("steps", "2.5", "--steps 2.5: expected a whole number$"),
        ("rule", "blok", "unknown value of --rule 'blok'. Did you mean 'block'"),
        ("threshold", "med", "--threshold med: expected mad or a number$"),
        ("keep", "yes", "--keep yes: expected true or false$"),
        ("scale", "1,x", "--scale 1,x: expected a number or numbers with commas between them$"),
    ],
)
def test_errors(name, text, message):
    (argument,) = (each for each in fit_arguments(Declared()) if each.name == name)
    with pytest.raises(InputError, match=message):
        argument.read(text)


def test_defaults_and_every_repair():
    defaults = {each.name: each.default for each in fit_arguments(Declared())}
    assert (defaults["steps"], defaults["keep"], defaults["anything"]) == (300, None, None)
    for repair in REPAIRS.values():
        assert [each.name for each in fit_arguments(repair)] == list(repair.fit_options)
        assert all(each.kinds or each.words for each in fit_arguments(repair))
