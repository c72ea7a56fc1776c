import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.classification import KnnClassifier, nearest, voted_classes
from ttr_backbones.classification.bank import fill_bank, gathered
from ttr_backbones.datasets.class_sample import ClassSample
from ttr_backbones.errors import InputError


def by_hand(query, bank, labels, k, temperature):
    """One query at a time, in numpy: sort everything, weigh the first k, add up by class."""
    similarity = bank @ query
    first = np.argsort(-similarity)[:k]
    weights = np.exp(similarity[first] / temperature)
    votes = np.zeros(labels.max() + 1)
    for index, weight in zip(first, weights, strict=True):
        votes[labels[index]] += weight
    return votes.argmax()


@pytest.mark.parametrize("at_once", [1, 40, 10**9])
def test_knn__equals_brute_force_whatever_the_chunks(at_once):
    torch.manual_seed(0)
    bank, queries = (F.normalize(torch.randn(n, 6), dim=1) for n in (57, 9))
    labels = torch.randint(0, 5, (57,))
    similarity, indices = nearest(queries, bank, 20, at_once=at_once)
    expected = (queries @ bank.T).topk(20, dim=1)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(similarity, expected.values)
    found = voted_classes(similarity, labels[indices], 5, (20, 1, 7), 0.07)
    for row, query in zip(found.tolist(), queries.numpy(), strict=True):
        assert row == [by_hand(query, bank.numpy(), labels.numpy(), k, 0.07) for k in (20, 1, 7)]


def test_votes__are_weighted():
    """At a low temperature two distant neighbours of class 1 lose against a near one of class 0."""
    similarity, labels = torch.tensor([[0.9, 0.5, 0.5]]), torch.tensor([[0, 1, 1]])
    assert voted_classes(similarity, labels, 2, (3,), 0.07).tolist() == [[0]]
    assert voted_classes(similarity, labels, 2, (3,), 10.0).tolist() == [[1]]


def test_knn__of_more_neighbours_than_images():
    with pytest.raises(InputError, match=r"k=4 neighbours, and there are 3 images"):
        nearest(torch.randn(1, 2), torch.randn(3, 2), 4)


def test_gathered__rows_of_all_processes(two_processes):
    def mine():
        rank = torch.distributed.get_rank()
        return gathered(torch.arange(3 + rank) + 10 * rank)

    for outcome in two_processes(mine):
        assert outcome.value.tolist() == [0, 1, 2, 10, 11, 12, 13]


class Embedding:
    """As a `KnnClassifier` whose features are its inputs."""

    bank_dtype = torch.float32
    data_preprocessor = staticmethod(lambda batch, training: batch)
    embed = staticmethod(lambda inputs: inputs)
    forward, set_bank = KnnClassifier.forward, KnnClassifier.set_bank
    k, temperature, at_once = (1,), 0.07, 100

    def eval(self):
        pass


def test_features__that_are_not_finite_name_the_image():
    model, samples = Embedding(), [ClassSample(metainfo={"img_path": f"{i}.png"}) for i in "ab"]
    bad = torch.tensor([[1.0, 0.0], [torch.nan, 0.0]])
    message = r"features of b.png are NaN or infinite \(1 of 2 images"
    with pytest.raises(InputError, match=message):
        fill_bank(model, [{"inputs": bad, "data_samples": samples}], lambda *_: None)
    with pytest.raises(InputError, match=r"1 of 2 labelled images .* first number 1: expected"):
        model.set_bank(bad, torch.zeros(2), 1)
    model.set_bank(torch.eye(2), torch.zeros(2, dtype=torch.long), 1)
    with pytest.raises(InputError, match=message):
        model.forward(bad, samples)
