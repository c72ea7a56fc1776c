"""`TextVectors`: the vectors of classes, in one file that nothing else is needed to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.tensors_file import read_tensors, write_tensors
from ttr_backbones.vits.neurons import may_belong, model_name
from ttr_backbones.vits.weights_hash import weights_hash

_ENTRY = "ttr_backbones.text_vectors"  # of the file's header
_EXPECTED = "expected a file that `ttrb text` or `TextVectors.save` wrote"
_HEADER = {"classes": list, "templates": list, "model": str, "sha256": str}


@dataclass(frozen=True, eq=False)
class TextVectors:
    """Vectors that images or patches are compared with.

    Args:
        classes: the names (queries) of each class, in the order of the data set's labels.
        vectors: [Q, C] of all names, in the order of `classes`; of unit length if texts made them.
        bias: [Q], what is added to a score; rows of a classifier only.
        templates: what each name was put into, with `{}` in its place; empty for rows of a
            classifier.
        model: timm or `hf:` name of the image model in whose space the vectors live; '' if it has
            no name.
        sha256: `weights_hash` of that image model, of texts with its projection.

    Raises:
        InputError: no class, a class without a name, another number of vectors, or values that are
            not finite or not of unit length.
    """

    classes: tuple[tuple[str, ...], ...]
    vectors: Tensor
    bias: Tensor | None
    templates: tuple[str, ...]
    model: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.classes or not all(self.classes):
            raise InputError("text vectors: expected at least one class, each with a name")
        count = sum(map(len, self.classes))
        if self.vectors.ndim != 2 or len(self.vectors) != count:
            raise InputError(
                f"text vectors: {count} names and vectors of shape {tuple(self.vectors.shape)}; "
                f"expected [{count}, C]"
            )
        if self.bias is not None and self.bias.shape != (count,):
            raise InputError(f"text vectors: bias {tuple(self.bias.shape)}; expected [{count}]")
        for name in ("vectors", "bias"):
            tensor = getattr(self, name)
            if tensor is None:
                continue
            tensor = tensor.detach().cpu().float().contiguous().clone()
            if not tensor.isfinite().all():
                raise InputError(f"text vectors: {name} has NaN or infinite values")
            object.__setattr__(self, name, tensor)
        lengths = self.vectors.norm(dim=1)
        if self.templates and not torch.allclose(lengths, torch.ones(count), atol=1e-3):
            raise InputError(
                f"text vectors: lengths from {lengths.min():.4g} to {lengths.max():.4g}; those of "
                "texts are of unit length"
            )

    @property
    def is_text(self) -> bool:
        """Whether texts made the vectors, which are compared by the cosine; or a classifier."""
        return bool(self.templates)

    @property
    def class_of_query(self) -> Tensor:
        """The label of each name's class, [Q] int64."""
        return torch.tensor([i for i, names in enumerate(self.classes) for _ in names])

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: the vectors, and the rest as JSON in its header."""
        header = {name: getattr(self, name) for name in _HEADER}
        tensors = {"vectors": self.vectors}
        if self.bias is not None:
            tensors["bias"] = self.bias
        write_tensors(path, tensors, _ENTRY, header)

    @classmethod
    def load(cls, path: str | Path) -> TextVectors:
        """Read a file that `save` wrote; nothing in it is executed.

        Raises:
            MissingFileError: no such file.
            InputError: another kind of file, a damaged one, or values that are not valid.
        """
        header, tensors = read_tensors(path, _ENTRY, _HEADER, "file of text vectors", _EXPECTED)
        names = [header["templates"], *header["classes"]]
        lists_of_texts = all(isinstance(part, list) and _are_texts(part) for part in names)
        if not lists_of_texts or not {"vectors"} <= tensors.keys() <= {"vectors", "bias"}:
            raise InputError(
                f"{path} holds {', '.join(sorted(tensors)[:5]) or 'no tensor'}, and names of "
                f"{len(header['classes'])} classes; expected `vectors`, maybe `bias`, and names "
                f"that are texts: {_EXPECTED}"
            )
        try:
            return cls(
                classes=tuple(tuple(names) for names in header["classes"]),
                vectors=tensors["vectors"],
                bias=tensors.get("bias"),
                templates=tuple(header["templates"]),
                model=header["model"],
                sha256=header["sha256"],
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def check_weights(self, vit: nn.Module) -> None:
        """Check that the vectors live in the space of `vit`.

        Args:
            vit: the model without a repair, in float32 and with the positions of its checkpoint.

        Raises:
            InputError: another model, or other weights.
        """
        name = model_name(vit)
        remedy = "make vectors for this model with `ttrb text`"
        if name and self.model and not may_belong(self.model, name):
            raise InputError(
                f"the text vectors live in the space of {self.model!r}, the model is {name!r}: "
                f"{remedy}"
            )
        # Texts live behind the projection, rows of a classifier before it.
        is_meta = next(vit.parameters()).is_meta
        if is_meta or self.sha256 == weights_hash(vit, with_head=self.is_text):
            return
        raise InputError(
            "the text vectors were made for other weights than the model has (their SHA-256 "
            f"differs), as after fine-tuning or with another checkpoint: {remedy}, or load the "
            "checkpoint that they were made with. A model in half precision or made with another "
            "img_size counts as other too"
        )


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
