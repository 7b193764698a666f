from hypothesis import given
from hypothesis import strategies as st

from mmseghead.utils import derive_seed

integers = st.integers(min_value=-2**40, max_value=2**40)


def test_golden():
    """The same on every machine and in every version."""
    assert derive_seed(0, 0, 0) == 2278555635313361279
    assert derive_seed(1, 2) == 6288156900839449082


@given(st.lists(integers, min_size=1, max_size=4))
def test_range(parts):
    assert 0 <= derive_seed(*parts) < 2**63


@given(integers, integers)
def test_order_and_grouping_matter(a, b):
    assert derive_seed(a, b) != derive_seed(a, b, 0)
    if a != b:
        assert derive_seed(a, b) != derive_seed(b, a)
