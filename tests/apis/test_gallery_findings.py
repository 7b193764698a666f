"""Orders that may be stated, and those that may not."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseghead.apis.gallery import GalleryModel, Measured, Training
from mmseghead.apis.gallery_findings import Findings
from mmseghead.apis.model_index import ModelEntry


def item(stem, values, dataset='shapes', changed=(), latency=None, **classes):
    entry = ModelEntry({'Name': f'{stem}_quick_{dataset}'}, None)
    runs = tuple(
        Training(seed, '', {}, {'mask AP': value, 'box AP': value}, changed)
        for seed, value in enumerate(values))
    return Measured(
        GalleryModel(stem, dataset, stem.upper(), False, True, entry), runs,
        classes, latency and {'value': latency})


def findings(**values):
    return Findings([item(stem, runs) for stem, runs in values.items()])


_runs = st.lists(st.integers(0, 60).map(float), max_size=3)


@given(_runs, _runs, _runs)
def test_above_is_an_order(a, b, c):
    found = findings(a=a, b=b, c=c)

    def above(one, other):
        return found.above(one, other, 'mask AP', 'shapes')

    for one, other in ('ab', 'ba', 'bc', 'ca'):
        assert not (above(one, other) and above(other, one))
        assert not above(one, one)
    assert not (above('a', 'b') and above('b', 'c')) or above('a', 'c')


def test_every_training_counts():
    found = findings(a=[40., 38.], b=[33., 33.9], c=[38.1, 30.])
    assert found.above('a', 'b', 'mask AP', 'shapes')
    assert not found.above('a', 'c', 'mask AP', 'shapes')
    assert not found.above('c', 'a', 'mask AP', 'shapes')


def test_single_trainings_need_the_spread_of_seeds():
    found = findings(a=[40.], b=[38.], twice=[20., 23.])
    assert found.spread('mask AP', 'shapes') == 3.
    assert not found.above('a', 'b', 'mask AP', 'shapes')
    assert findings(a=[40.], b=[36.9], twice=[20., 23.]).above(
        'a', 'b', 'mask AP', 'shapes')
    # Two trainings of each need half of it.
    assert findings(a=[40., 39.5], b=[37., 37.9], twice=[20., 23.]).above(
        'a', 'b', 'mask AP', 'shapes')
    assert not findings(a=[40., 39.5], b=[37., 38.], twice=[20., 23.]).above(
        'a', 'b', 'mask AP', 'shapes')


def test_older_recipes_are_never_compared():
    found = Findings([item('a', [50.], changed=('lr', )), item('b', [10.])])
    assert not found.above('a', 'b', 'mask AP', 'shapes')
    assert not found.above('b', 'a', 'mask AP', 'shapes')
    assert found.value('a', 'mask AP', 'shapes') is None
    assert found.ranking('mask AP', 'shapes') == ['b']
    assert not found.has('shapes', 'a', 'b') and found.has('shapes', 'b')


def test_costs_differ_from_a_tenth_on():
    found = Findings([item('a', [1.], latency=89.), item('b', [1.], latency=95.),
                      item('c', [1.], latency=100.)])
    assert found.above('a', 'c', 'latency', 'shapes')
    assert not found.above('b', 'c', 'latency', 'shapes')
    assert found.ranking('latency', 'shapes') == ['a', 'b', 'c']
    assert not found.compared  # costs do not depend on seeds


def test_leaders_are_those_that_cannot_be_told_apart():
    found = findings(a=[40., 42.], b=[41., 39.], c=[37., 37.5], d=[1.])
    # The best published number is b's; a's trainings reach around it.
    assert found.leaders('mask AP', 'shapes') == ['b', 'a']
    assert found.contenders('mask AP', 'shapes') == ['b', 'a', 'c']
    assert found.wanted_seeds() == []
    found = findings(a=[40.], b=[30.], c=[20.])
    assert found.leaders('mask AP', 'shapes') == ['a']
    assert found.wanted_seeds() == ['a_quick_shapes', 'b_quick_shapes']
    assert found.leaders('mask AP', 'nuclei') == []
    assert found.trained_once('shapes', 'a') == ['a']


def test_unmeasured_models_are_wanted_too():
    found = findings(a=[40., 41.], b=[])
    assert not found.above('b', 'a', 'mask AP', 'shapes')
    assert found.wanted_seeds() == ['b_quick_shapes']


def test_frugal_leaves_out_what_is_not_good_enough():
    found = Findings([item('a', [40.], latency=100.),
                      item('b', [36.], latency=50.),
                      item('c', [35.9], latency=10.), item('d', [39.])])
    assert found.frugal('latency', 'mask AP', 'shapes', 0.9) == ['b', 'a']
    assert found.frugal('latency', 'mask AP', 'shapes') == ['c', 'b', 'a']
    assert found.frugal('latency', 'mask AP', 'nuclei') == []


def test_places_of_equal_numbers_are_equal():
    found = findings(a=[40.04], b=[40.], c=[39.], d=[10.])
    places = {stem: found.places(stem, 'shapes')['mask AP']
              for stem in 'abcd'}
    assert places == dict(a=(1, 4), b=(1, 4), c=(3, 4), d=(4, 4))


def test_extremes_name_a_kind_once():
    found = Findings([
        item(stem, [value], latency=cost) for stem, value, cost in
        (('a', 40., 90.), ('b', 30., 80.), ('c', 20., 70.), ('d', 10., 60.))
    ])
    good, bad = found.extremes('a')
    assert [(p.metric, p.place, p.of) for p in good] == [('box AP', 1, 4)]
    assert [(p.metric, p.place, p.of) for p in bad] == [('latency', 4, 4)]
    assert found.extremes('b') == ([], [])


def test_bias_ignores_weak_methods_and_hard_classes():
    # b is half as good in everything; only c differs, and is bad at rings.
    found = Findings([item('a', [40.], ring=20., disk=60.),
                      item('b', [20.], ring=10., disk=30.),
                      item('c', [40.], ring=0., disk=80.)])
    bias = {stem: dict(found.class_bias(stem, 'shapes')) for stem in 'abc'}
    assert bias['c']['ring'] < -5 and bias['c']['disk'] > 5
    assert bias['a']['ring'] == pytest.approx(2 * bias['b']['ring'])
    assert all(sum(b.values()) == pytest.approx(0) for b in bias.values())
    assert found.class_bias('c', 'shapes')[0][0] == 'disk'
    # Nothing is said before all of them are known.
    some = Findings([item('a', [40.], ring=20., disk=60.), item('b', [20.]),
                     item('c', [40.], ring=0., disk=80.)])
    assert some.class_bias('a', 'shapes') == []
    # Rings are hard for both alike: nobody is bad at them.
    alike = Findings([item('a', [40.], ring=20., disk=60.),
                      item('b', [20.], ring=10., disk=30.)])
    assert [points for stem in 'ab' for _, points in
            alike.class_bias(stem, 'shapes')] == pytest.approx([0.] * 4)
    assert found.lowest_classes('c', 'shapes', 1) == ['ring']


def test_unknown_methods_are_named():
    with pytest.raises(KeyError, match='moon'):
        findings(a=[1.]).value('moon', 'mask AP', 'shapes')
