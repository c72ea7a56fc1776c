"""Which of the backbone's maps a head takes, and whether they are as it expects them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ttr_backbones.errors import InputError


class MapChoice:
    """The maps that a head takes.

    Args:
        head: how to name the head in a message.
        in_channels: channels of each map taken; one number for a single map.
        in_index: which of the backbone's maps, one per entry of `in_channels`; by default the
            last ones.

    Raises:
        InputError: `in_channels` and `in_index` differ in length.
    """

    def __init__(
        self,
        head: str,
        in_channels: int | Sequence[int],
        in_index: int | Sequence[int] | None = None,
    ) -> None:
        self.head = head
        self.channels = _as_list(in_channels)
        self.index = list(range(-len(self.channels), 0)) if in_index is None else _as_list(in_index)
        if not self.channels or len(self.channels) != len(self.index):
            raise InputError(
                f"in_channels={self.channels} and in_index={self.index}: expected one number of "
                "channels per map"
            )

    def take(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the chosen ones of the maps [B, C_i, h_i, w_i].

        Raises:
            InputError: there are too few maps, or they have other channels.
        """
        reach = max(max(self.index) + 1, -min(self.index))
        if reach > len(inputs):
            raise InputError(
                f"{self.head} takes maps {self.index}, the backbone gives {len(inputs)}: make "
                "in_index fit the backbone's out_indices"
            )
        maps = [inputs[index] for index in self.index]
        channels = [feature_map.shape[1] for feature_map in maps]
        if channels != self.channels:
            raise InputError(
                f"{self.head} expected maps of {self.channels} channels, the backbone gives "
                f"{channels}: set in_channels={channels}{_hint(channels, self.channels)}"
            )
        return maps


def _hint(found: list[int], expected: list[int]) -> str:
    if [2 * channels for channels in found] == expected:
        return ", or the backbone's cls_token='concat' if the CLS token belongs beside each patch"
    return ""


def _as_list(one_or_more: int | Sequence[int]) -> list[int]:
    return [one_or_more] if isinstance(one_or_more, int) else list(one_or_more)
