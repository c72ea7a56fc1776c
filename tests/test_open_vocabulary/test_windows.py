"""Windows: where they lie, and that two matrices are all that the released codes do one by one."""

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.open_vocabulary.scores import FullSize
from ttr_backbones.open_vocabulary.windows import cut, cut_side, lay_out, window_starts

PATCH = 4


def test_starts__the_last_window_is_shifted_inside():
    assert window_starts(336, 224, 112) == (0, 112)
    assert window_starts(500, 224, 112) == (0, 112, 224, 276)
    assert window_starts(200, 224, 112) == window_starts(224, 224, 112) == (0,)
    assert window_starts(900, None, None) == (0,)


def scores_of(window, queries):
    """Any function of a window's whole patches: their means."""
    return F.avg_pool2d(window, PATCH)[:, :1] * queries.view(1, -1, 1, 1) + queries.sin().view(
        1, -1, 1, 1
    )


def one_by_one(image, queries, crop, stride, fit, size):
    """As SCLIP (stretch) and ClearCLIP (pad): every window is pasted, then the mean resampled."""
    H, W = image.shape[2:]

    def of_window(window, to):
        h, w = window.shape[2:]
        if fit == "stretch":  # a convolution drops the rest
            found = scores_of(window[:, :, : h // PATCH * PATCH, : w // PATCH * PATCH], queries)
            return F.interpolate(found, size=to, mode="bilinear", align_corners=False)
        top, left = -h % PATCH // 2, -w % PATCH // 2
        padded = F.pad(window, (left, -w % PATCH - left, top, -h % PATCH - top))
        found = scores_of(padded, queries)
        found = F.interpolate(found, size=padded.shape[2:], mode="bilinear", align_corners=False)
        return found[:, :, top : top + h, left : left + w]

    if crop is None and fit == "stretch":
        return of_window(image, size)
    total = torch.zeros(1, len(queries), H, W)
    times = torch.zeros(1, 1, H, W)
    for y in window_starts(H, crop, stride):
        for x in window_starts(W, crop, stride):
            window = image[:, :, y : y + (crop or H), x : x + (crop or W)]
            h, w = window.shape[2:]
            total[:, :, y : y + h, x : x + w] += of_window(window, (h, w))
            times[:, :, y : y + h, x : x + w] += 1
    return F.interpolate(total / times, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize(("crop", "stride"), [(None, None), (12, 8), (18, 7), (30, 30)])
def test_full_size__is_what_windows_one_by_one_give(fit, crop, stride):
    images = torch.randn(2, 3, 21, 37, generator=torch.manual_seed(0))
    queries, size = torch.tensor([0.3, -1.0, 2.0]), (50, 64)
    height, width = (cut_side(n, crop, stride, PATCH, fit) for n in images.shape[2:])
    windows = cut(images, height, width)
    assert windows.shape[2] % PATCH == windows.shape[3] % PATCH == 0
    scores = lay_out(scores_of(windows, queries), 2, height, width)
    full = FullSize(scores, height, width, size)
    expected = torch.cat(
        [one_by_one(image[None], queries, crop, stride, fit, size) for image in images]
    )
    torch.testing.assert_close(full(0, 50), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(full(17, 23), expected[:, :, 17:23], rtol=1e-4, atol=1e-5)


def test_a_window_smaller_than_a_patch_is_refused():
    with pytest.raises(InputError, match="a window of 3 pixels is smaller than a patch of 4"):
        cut_side(3, 12, 8, PATCH, "stretch")
