"""Maps that are combined late are the same for any memory budget."""
import pytest
import torch

from mmseghead.functional import combined_maps
from mmseghead.functional.combined_maps import CombinedMaps
from mmseghead.utils.mask_budget import mask_budget

HEIGHT, WIDTH = 5, 7


def maps_of(number, calls=None):
    generator = torch.Generator().manual_seed(3)
    shared = torch.randn(HEIGHT, WIDTH, 4, generator=generator)
    factors = torch.randn(40, 4, generator=generator)

    def combine(rows):
        if calls is not None:
            calls.append(len(rows))
        return (shared @ factors[rows].t()).permute(2, 0, 1)

    rows = torch.arange(number) * 2
    return CombinedMaps(combine, rows, (HEIGHT, WIDTH)), combine(rows)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(combined_maps, '_CELLS_PER_BLOCK', HEIGHT * WIDTH * 8)
    monkeypatch.setattr(combined_maps, '_MIN_ROWS', 1)


@pytest.mark.parametrize('mib', [0, None])
@pytest.mark.parametrize('number', [1, 8, 9, 19])
def test_all_blocks(small_blocks, mib, number):
    with mask_budget(mib):
        maps, wanted = maps_of(number)
        blocks = list(maps.blocks())
    assert torch.allclose(torch.cat(blocks), wanted, atol=1e-6)
    sizes = [len(block) for block in blocks]
    assert max(sizes) <= 8 and max(sizes) - min(sizes) <= 1


def test_budget_changes_work_but_no_bit(small_blocks):
    found = []
    for mib, wanted_calls in ((None, [7, 6, 6]), (0, [7, 6, 6, 7, 6])):
        calls = []
        with mask_budget(mib):
            maps, _ = maps_of(19, calls)
            calls.clear()
            whole = torch.cat(list(maps.blocks()))
            inds = torch.tensor([0, 3, 4, 6, 12])
            parts = list(maps.read(inds, 2))
        assert [len(part) for part in parts] == [2, 2, 1]
        assert torch.equal(torch.cat(parts), whole[inds])
        assert calls == wanted_calls
        found.append(whole)
    assert torch.equal(*found)


def test_nothing():
    maps, _ = maps_of(0)
    assert len(maps) == 0
    assert list(maps.read(torch.zeros(0, dtype=torch.long))) == []
