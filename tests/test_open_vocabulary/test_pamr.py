"""PAMR by its definition, pixel by pixel."""

import torch

from ttr_backbones.open_vocabulary.pamr import pamr, pixel_affinity

DILATIONS = (1, 2)


def around(y, x, dilation, height, width):
    """The nine pixels at a distance, the nearest of the border beyond it."""
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row = min(max(y + dy * dilation, 0), height - 1)
            yield row, min(max(x + dx * dilation, 0), width - 1), (dy, dx) != (0, 0)


def test_by_hand():
    g = torch.manual_seed(0)
    image, scores = torch.rand(3, 5, 6, generator=g), torch.randn(2, 5, 6, generator=g)
    expected = scores
    for _ in range(3):
        new = torch.zeros_like(scores)
        for y in range(5):
            for x in range(6):
                places = [p for d in DILATIONS for p in around(y, x, d, 5, 6)]
                colours = torch.stack([image[:, row, column] for row, column, _ in places])
                std = colours.std(dim=0)
                near = [(row, column) for row, column, other in places if other]
                close = torch.stack(
                    [
                        -((image[:, r, c] - image[:, y, x]).abs() / (0.1 * std + 1e-8)).mean()
                        for r, c in near
                    ]
                ).softmax(dim=0)
                for weight, (row, column) in zip(close, near, strict=True):
                    new[:, y, x] += weight * expected[:, row, column]
        expected = new
    found = pamr(image[None], scores[None], steps=3, dilations=DILATIONS)
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)


def test_a_batch_is_its_images_and_more_queries_are_each_alone():
    g = torch.manual_seed(1)
    images, scores = torch.rand(2, 3, 7, 9, generator=g), torch.randn(2, 20, 7, 9, generator=g)
    both = pamr(images, scores, steps=2)
    for index in range(2):
        single = pamr(images[index : index + 1], scores[index : index + 1, 17:], steps=2)
        torch.testing.assert_close(both[index : index + 1, 17:], single)
    weights = pixel_affinity(images, (8, 16))
    assert weights.shape == (2, 16, 7, 9)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 7, 9))
