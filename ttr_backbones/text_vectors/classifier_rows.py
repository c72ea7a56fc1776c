"""`classifier_vectors`: rows of a model's own classifier in the place of texts.

A classifier's row scores what the model pools as a text's vector does in CLIP, so that everything
that reads text vectors runs on a model that was trained on classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors.vectors import TextVectors
from ttr_backbones.vits.classifier import classifier_of
from ttr_backbones.vits.neurons import model_name
from ttr_backbones.vits.weights_hash import weights_hash


def classifier_vectors(vit: Any, rows: Mapping[str, Sequence[int]]) -> TextVectors:
    """Take rows of the classifier of `vit`.

    Args:
        vit: a model with a classifier, without a repair.
        rows: the rows that stand for each class, in the order of the labels; each is a query, named
            `CLASS[ROW]`.

    Raises:
        InputError: a model without a classifier, no class, a class without rows, a row that the
            classifier does not have or that a class has twice.
    """
    head: Any = classifier_of(vit)
    if not rows:
        raise InputError("no classes: expected {name: rows of the classifier}")
    for name, numbers in rows.items():
        wrong = [n for n in numbers if not 0 <= n < head.out_features]
        twice = [n for n, times in Counter(numbers).items() if times > 1]
        if wrong or twice or not numbers:
            got = [*(f"row {n}" for n in wrong), *(f"row {n} twice" for n in twice), "no row"][0]
            raise InputError(
                f"class {name!r} has {got}: expected at least one row of the classifier, each "
                f"once, out of 0..{head.out_features - 1}"
            )
    taken = [number for numbers in rows.values() for number in numbers]
    return TextVectors(
        classes=tuple(tuple(f"{name}[{n}]" for n in numbers) for name, numbers in rows.items()),
        vectors=head.weight.detach()[taken],
        bias=None if head.bias is None else head.bias.detach()[taken],
        templates=(),
        model=model_name(vit),
        sha256=weights_hash(vit),
    )
