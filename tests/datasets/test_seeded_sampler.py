import itertools
import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmseghead.datasets import (SeededDrawMixin, SeededIndex,
                                SeededInfiniteSampler, SeededSampler)


class Source:
    """Returns the index and one draw of each generator."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        assert type(index) is int  # mmdet indexes arrays with it
        return index, random.random(), np.random.rand(), torch.rand(()).item()


class Drawn(SeededDrawMixin, Source):
    pass


def samples(sampler, number, workers=0):
    loader = DataLoader(
        Drawn(), batch_size=None, sampler=sampler, num_workers=workers)
    return [tuple(item) for item in itertools.islice(loader, number)]


def test_index_is_an_int_that_survives_pickling():
    index = pickle.loads(pickle.dumps(SeededIndex(5, 2**62)))
    assert index == 5 and index.seed == 2**62
    assert [10, 20, 30][SeededIndex(1, 0)] == 20


def test_draws_depend_on_the_seed_only():
    dataset = Drawn()
    first = dataset[SeededIndex(3, 77)]
    torch.rand(100), random.random(), np.random.rand(9)
    assert dataset[SeededIndex(3, 77)] == first
    assert dataset[SeededIndex(3, 78)][1:] != first[1:]
    assert len(set(first[1:])) == 3


def test_the_callers_generators_go_on_undisturbed():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = [
        (random.random(), np.random.rand(), torch.rand(()).item())
        for _ in range(2)
    ]
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    got = [(random.random(), np.random.rand(), torch.rand(()).item())]
    Drawn()[SeededIndex(0, 5)]
    got.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert got == expected


def test_plain_index_draws_from_the_callers_generators():
    random.seed(4)
    expected = random.random()
    random.seed(4)
    assert Drawn()[2][1] == expected


@pytest.mark.parametrize('kind', [SeededSampler, SeededInfiniteSampler])
def test_workers_make_no_difference(kind):
    assert samples(kind(Drawn(), seed=3), 7, workers=2) == samples(
        kind(Drawn(), seed=3), 7)


def test_epochs_differ_and_repeat():
    sampler = SeededSampler(Drawn(), seed=3)
    first = samples(sampler, 7)
    sampler.set_epoch(1)
    second = samples(sampler, 7)
    draws = {index: draw for index, draw, *_ in first}
    assert all(draws[index] != draw for index, draw, *_ in second)
    sampler.set_epoch(0)
    assert samples(sampler, 7) == first


def test_endless_stream_resumes_where_it_stopped():
    whole = samples(SeededInfiniteSampler(Drawn(), seed=3), 19)
    resumed = SeededInfiniteSampler(Drawn(), seed=3)
    resumed.skip(11)
    assert samples(resumed, 8) == whole[11:]
    again = [draw for index, draw, *_ in whole if index == 2]
    assert len(again) >= 2 and len(set(again)) == len(again)


def test_mmengines_order_is_kept():
    from mmengine.dataset import DefaultSampler
    assert list(SeededSampler(Drawn(), seed=5)) == list(
        DefaultSampler(Drawn(), seed=5))
