import copy
import itertools
import pickle

import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset

from ttr_backbones.engine import Draw, ResumableInfiniteSampler
from ttr_backbones.errors import InputError


def take(sampler, count):
    return list(itertools.islice(sampler, count))


def numbers(draws):
    return [draw.number for draw in draws]


def test_sampler__every_pass_is_a_new_permutation():
    draws = take(ResumableInfiniteSampler(range(5), seed=3), 15)
    passes = [draws[:5], draws[5:10], draws[10:]]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in passes)
    assert len({tuple(one) for one in passes}) > 1
    assert numbers(draws) == list(range(15))


def test_sampler__without_shuffle_counts():
    sampler = ResumableInfiniteSampler(range(3), shuffle=False, seed=0)
    assert take(sampler, 7) == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("start", [0, 1, 5, 7, 1_000_003])
def test_start__equals_skipping(start):
    sampler = ResumableInfiniteSampler(range(5), seed=3)
    expected = [Draw(d, d.number, 3) for d in itertools.islice(sampler, start % 35, start % 35 + 9)]
    sampler.start = start
    draws = take(sampler, 9)
    assert numbers(draws) == list(range(start, start + 9))
    if start < 35:
        assert draws == expected


def test_sampler__processes_share_one_order(monkeypatch):
    whole = take(ResumableInfiniteSampler(range(5), seed=3), 20)
    for rank in range(2):
        monkeypatch.setattr(
            "ttr_backbones.engine.sampler.get_dist_info", lambda rank=rank: (rank, 2)
        )
        sampler = ResumableInfiniteSampler(range(5), seed=3)
        sampler.start = 4
        draws = take(sampler, 6)
        assert draws == whole[8 + rank :: 2]
        assert numbers(draws) == numbers(whole[8 + rank :: 2])


def test_sampler__seeds_differ():
    orders = {tuple(take(ResumableInfiniteSampler(range(20), seed=seed), 20)) for seed in range(4)}
    assert len(orders) == 4


def test_sampler__refuses_an_empty_data_set():
    with pytest.raises(InputError, match="the training data set is empty: expected at least one"):
        ResumableInfiniteSampler([], seed=0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_draw__survives_copies(copied):
    draw = copied(Draw(4, number=17, seed=3))
    assert (draw, draw.number, draw.seed) == (4, 17, 3)
    assert [10, 11, 12, 13, 14][draw] == 14


class Fake(BaseDataset):
    def __init__(self, size, serialize=True):
        self.count = size
        super().__init__(serialize_data=serialize)

    def load_data_list(self):
        return [{"value": index} for index in range(self.count)]


def test_draw__passes_through_wrappers():
    both = ConcatDataset([Fake(3), Fake(4)])
    draw = both._get_ori_dataset_idx(Draw(5, number=17, seed=3))[1]
    assert (draw, draw.number, draw.seed) == (2, 17, 3)
    draw = RepeatDataset(Fake(3), times=4)._get_ori_dataset_idx(Draw(5, number=17, seed=3))
    assert (draw, draw.number) == (2, 17)


@pytest.mark.parametrize("serialize", [True, False])
def test_draw__reaches_the_pipeline(serialize):
    draw = Fake(3, serialize).get_data_info(Draw(2, number=17, seed=3))["sample_idx"]
    assert isinstance(draw, Draw)
    assert draw.number == 17
