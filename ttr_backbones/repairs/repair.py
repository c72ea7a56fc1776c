"""`Repair`: the protocol that every repair of a ViT follows."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.search import FoundNeurons
from ttr_backbones.package_data import ARTIFACTS
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.vits.class_swap import Mixin, unmix_all
from ttr_backbones.vits.neurons import RegisterNeurons, tagged_name


class Repair(ABC):
    """One way to give a pretrained ViT clean features; `register_repair` makes it known.

    Everything that is done to the model is done by class swaps (`vits.class_swap`): modules take on
    a `Mixin`, whose `restore` gives back all that it changed, weights among them. So a repair comes
    off bit for bit, and copies, pickles, `torch.compile` and `torch.export` see ordinary modules.

    Attributes:
        type: name in configs and in files.
        label: name in tables and legends: "test-time register".
        colour: of bars and lines, as "#0072b2".
        fit_options: options of `fit`, with what they mean.
        options: options of `apply`, with what they mean; a config has them beside `artifact`.
        suffix: of files in a format of its own that `read` takes beside artifacts.
        written_suffix: of the file that `write` writes.
        distributed: whether the processes of a distributed job may share the images of its fit.
        swaps: the mixins whose presence tells that the repair is on.
        changes_weights: whether it changes parameters of the model, which cannot be trained then.
        controls: names of its controls, with their labels in tables. Those that need no
            fit are values of an option `control` of `apply`.
        trains: label in tables of what its fit trains; "" for nothing. Such a fit takes a
            `log` (`TrainingLog | None`) and notes its steps there.
    """

    type: ClassVar[str]
    label: ClassVar[str]
    colour: ClassVar[str]
    fit_options: ClassVar[Mapping[str, str]] = {}
    options: ClassVar[Mapping[str, str]] = {}
    swaps: ClassVar[tuple[builtins.type[Mixin], ...]]
    suffix: ClassVar[str] = ".safetensors"
    written_suffix: ClassVar[str] = ".safetensors"
    distributed: ClassVar[bool] = False
    changes_weights: ClassVar[bool] = False
    controls: ClassVar[Mapping[str, str]] = {}
    trains: ClassVar[str] = ""

    @abstractmethod
    def fit(self, vit: nn.Module, images: ImageBatches, *args: Any, **options: Any) -> Artifact:
        """Make the artifact for `vit`; `fit_repair` has checked the model and the options' names.

        A subclass names its options with their types and defaults in place of `*args` and
        `**options`: the command line reads them from there.

        Args:
            vit: without a repair and in eval mode; whatever is left on it is taken off afterwards.
            images: normalised batches, which may be read once or, if files, several times.
            args: none.
            options: of `fit_options`; and `log`, a `TrainingLog`, where `trains` says something.
        """

    @abstractmethod
    def apply(self, vit: nn.Module, artifact: Artifact, **options: Any) -> None:
        """Repair `vit` in place; `apply_repair` has checked the weights and the options' names.

        Args:
            vit: without a repair.
            artifact: of this type.
            options: of `options`, which count more than the artifact's own.
        """

    @abstractmethod
    def describe(self, vit: nn.Module) -> dict[str, Any]:
        """Return as plain data what the repair does to `vit`: equal where it does the same."""

    def remove(self, vit: nn.Module) -> None:
        """Give `vit` back as it was, bit for bit."""
        unmix_all(vit)

    def is_on(self, vit: nn.Module) -> bool:
        """Whether `vit` is repaired in this way."""
        return any(isinstance(module, self.swaps) for module in vit.modules())

    def tokens_added(self, vit: nn.Module) -> int:
        """Number of tokens that the repair adds to the sequence inside `vit`."""
        del vit
        return 0

    def control(self, artifact: Artifact, options: Mapping[str, Any]) -> str:
        """Return which of the controls this is; "" for the repair itself.

        Args:
            artifact: of this type.
            options: of `apply`.
        """
        fitted = "random" if artifact.provenance.get("direction") == "random" else ""
        return str(options.get("control") or fitted)

    def control_options(self, artifact: Artifact, control: str) -> dict[str, Any]:
        """Return the options of a fit that makes a control with what `artifact` had: budget, seed.

        Of controls that `apply` does not make by itself.
        """
        raise NotImplementedError(f"{self.type!r} fits no control {control!r} for {artifact.model}")

    def caption(self, num: int) -> str:
        """Return what a model has, as a phrase that follows "with".

        Args:
            num: what the repair describes as its `num`, 0 if it does not.
        """
        del num
        return self.label

    def token_options(self, artifact: Artifact, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of `add_test_time_registers` that do the same by tokens."""
        del artifact, options
        return {}

    def check(self, artifact: Artifact) -> None:  # noqa: B027 -- most have nothing to check
        """Check what a file or a caller gave as an artifact of this type.

        Raises:
            InputError: a tensor or a fact is missing or not valid.
        """

    def neurons(self, artifact: Artifact) -> RegisterNeurons | None:
        """Return the register neurons that the artifact acts on; None where there are none."""
        del artifact
        return None

    def write(self, artifact: Artifact, path: str | Path) -> None:
        """Write a file that `read` reads; its name ends in `written_suffix`."""
        artifact.save(path)

    def search(self, artifact: Artifact) -> FoundNeurons | None:
        """Return the search that the fit was, where that was the whole fit and is recorded."""
        del artifact
        return None

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Make an artifact that costs at run time what a good one costs, as fast as possible.

        Args:
            vit: as in `fit`.
            images: a few, which may be noise.
            neurons: of `vit`; whether they are register neurons is unknown.
        """
        del neurons
        return self.fit(vit, images)

    def choose(self, model: str, options: Mapping[str, Any]) -> tuple[Artifact, dict[str, Any]]:
        """Return the artifact that a config's options name, and those that `apply` takes.

        Args:
            model: tagged timm name.
            options: as in the config, without `type`.

        Raises:
            MissingFileError: no such file.
            InputError: no artifact, or one that cannot be read or is of another type.
        """
        left = dict(options)
        return self.named(left.pop("artifact", "auto"), model), left

    def is_auto(self, options: Mapping[str, Any]) -> bool:
        """Whether a config's options leave the artifact to what ships for the model."""
        return options.get("artifact", "auto") == "auto"

    def auto(self) -> dict[str, Any]:
        """Return the options of a config that takes what ships for the model."""
        return {"type": self.type, "artifact": "auto"}

    def named(self, artifact: Any, model: str) -> Artifact:
        """Return the artifact that a config names: "auto", a path, or itself.

        Raises:
            MissingFileError: no such file.
            InputError: none of these, or it is of another type.
        """
        if artifact == "auto":
            found = self.shipped(model)
        elif isinstance(artifact, Artifact):
            found = artifact
        elif isinstance(artifact, str | Path):
            found = self.read(artifact)
        else:
            raise InputError(f"artifact={artifact!r}: expected 'auto', a path or an Artifact")
        if found.type != self.type:
            raise InputError(
                f"artifact={artifact!r} is of type={found.type!r}, expected one of {self.type!r}: "
                "change the type, or give another file"
            )
        self.check(found)
        return found

    def read(self, path: str | Path) -> Artifact:
        """Read a file of this repair; of another one's it gives that one's artifact.

        Raises:
            MissingFileError: no such file.
            InputError: it cannot be read.
        """
        return Artifact.load(path)

    def shipped(self, model: str) -> Artifact:
        """Return the artifact that ships for `model`, a timm name as in `RegisterNeurons.bundled`.

        Raises:
            InputError: none ships for it; the message says how to make one.
        """
        tagged, files = tagged_name(model), self.shipped_files()
        if tagged not in files:
            shipped = f"They ship for {', '.join(files)}" if files else "None ships at all"
            raise InputError(
                f"no artifact of the repair {self.type!r} ships for {tagged!r}. {shipped}. Make "
                f"one with {self.command(model)} and pass artifact='FILE.safetensors'"
            )
        return Artifact.load(files[tagged])

    def shipped_files(self) -> dict[str, Path]:
        """Return {tagged timm name: file} of the artifacts that ship."""
        return {file.stem: file for file in sorted((ARTIFACTS / self.type).glob("*.safetensors"))}

    def command(self, model: str = "MODEL") -> str:
        """Return what makes an artifact for `model`, for messages."""
        return f"`ttrb repair {self.type} {model} --images DIR --out FILE{self.written_suffix}`"
