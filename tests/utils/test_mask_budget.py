"""The memory budget of masks is one number, and checked."""
import math

import pytest

from mmseghead.utils.mask_budget import (DEFAULT_MASK_BUDGET_MIB, mask_budget,
                                         mask_budget_bytes, set_mask_budget)


def test_on_by_default():
    assert mask_budget_bytes() == DEFAULT_MASK_BUDGET_MIB * 2**20


def test_block_puts_the_budget_back():
    before = mask_budget_bytes()
    with pytest.raises(RuntimeError), mask_budget(1.5):
        assert mask_budget_bytes() == 1572864
        with mask_budget(None):
            assert mask_budget_bytes() is None
        assert mask_budget_bytes() == 1572864
        raise RuntimeError
    assert mask_budget_bytes() == before


@pytest.mark.parametrize('mib, error', [(-1, ValueError),
                                        (math.nan, ValueError),
                                        (math.inf, ValueError),
                                        ('512', TypeError),
                                        (True, TypeError)])
def test_errors_name_the_key(mib, error):
    before = mask_budget_bytes()
    with pytest.raises(error, match='mask_budget_mib'):
        set_mask_budget(mib)
    assert mask_budget_bytes() == before
