import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.classification import nearest, voted_classes
from ttr_backbones.classification.bank import gathered
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
