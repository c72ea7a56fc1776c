"""Where image tokens are: in the tower, whose packing mixes them, and in the photograph."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_llava import text_config
from tiny_vlms import TOWER, llava

from ttr_backbones.errors import InputError
from ttr_backbones.vlm import feature_block
from ttr_backbones.vlm.canvas import canvas_size, laid_over
from ttr_backbones.vlm.inputs import prompt_batch
from ttr_backbones.vlm.token_map import token_patches


def place(vlm, size):
    return prompt_batch(vlm, [Image.new("RGB", size)], ["a"]).images[0]


def near(boxes, expected):
    np.testing.assert_allclose(boxes.numpy(), expected, atol=0.01)


def test_llava__one_token_a_patch_of_the_central_square(vlms):
    found = place(vlms["llava"], (80, 60))
    assert found.patches.tolist() == [[i] for i in range(16)]
    near(found.boxes, [[0.125, 0, 0.875, 1]])


def test_llava_full__its_first_token_is_cls():
    assert place(llava(strategy="full"), (80, 60)).patches.flatten().tolist() == [-1, *range(16)]


def test_tower_without_cls__loses_the_patch_that_its_model_cuts_off():
    """SigLIP; several layers: the deepest block is what the language model reads last."""
    import transformers

    tower = transformers.SiglipVisionConfig(**TOWER)
    whole = llava(strategy="full", layer=[1, -2], tower=tower, extra=0)
    assert place(whole, (64, 64)).patches.flatten().tolist() == [*range(16)]
    assert feature_block(whole.model) == 1
    cut = llava(strategy="default", tower=tower, extra=0)
    assert place(cut, (64, 64)).patches.flatten().tolist() == [*range(1, 16)]


def test_llava_next__the_whole_then_rows_of_tiles_without_padding(vlms):
    """80 x 60 becomes 64 x 48 on 64 x 64: of 8 x 8 patches the outer rows are padding."""
    found = place(vlms["llava_next"], (80, 60))
    inner = (np.arange(4 * 16) + 16).reshape(2, 2, 4, 4).transpose(0, 2, 1, 3).reshape(8, 8)[1:-1]
    rows = np.concatenate([inner, np.full((6, 1), -1)], axis=1)
    assert found.patches.flatten().tolist() == [*range(16), *rows.flatten()]
    low, high = -1 / 6, 7 / 6
    tiles = [[0, low, 0.5, 0.5], [0.5, low, 1, 0.5], [0, 0.5, 0.5, high], [0.5, 0.5, 1, high]]
    near(found.boxes, [[0, 0, 1, 1], *tiles])


def test_llava_onevision__is_refused_because_it_mixes_patches():
    import transformers

    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**TOWER), text_config=text_config()
    )
    model = transformers.LlavaOnevisionForConditionalGeneration(config)
    with pytest.raises(InputError, match="is not known here"):
        token_patches(model, (4, 4), 5, (60, 80), 120)


def test_internvl__four_patches_a_token_tile_by_tile_the_whole_last(vlms):
    found = place(vlms["internvl"], (96, 64))
    first = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert [sorted(t) for t in found.patches.tolist()] == [
        [16 * tile + patch for patch in token] for tile in range(7) for token in first
    ]
    tiles = [[x / 3, y / 2, (x + 1) / 3, (y + 1) / 2] for y in range(2) for x in range(3)]
    near(found.boxes, [*tiles, [0, 0, 1, 1]])


def test_canvas__keeps_the_sum_and_the_places():
    boxes = torch.tensor([[0, 0, 1, 1], [0.5, -0.5, 1, 0.5]], dtype=torch.float64)
    maps = torch.zeros(2, 2, 2)
    maps[0, 1, 0] = 3.0  # the lower left quarter
    maps[1] = torch.tensor([[7.0, 7.0], [1.0, 0.0]])  # the upper row lies in padding
    size = canvas_size(boxes, (2, 2))
    assert size == (16, 32)
    laid = laid_over(maps, boxes, size)
    assert laid.sum().item() == 4.0
    assert laid[8:, :16].sum().item() == 3.0
    assert laid[:8, 16:24].sum().item() == 1.0
