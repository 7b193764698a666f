"""Parts of masks make the same masks in either form."""
import pytest
import torch

from mmseghead.functional.mask_parts import (MaskPart, boxes_of_masks,
                                             collect_masks, masks_fit,
                                             masks_per_pass)
from mmseghead.functional.mask_rle import EncodedMasks
from mmseghead.utils.mask_budget import mask_budget

SIZE = (11, 17)


def parts_and_masks():
    """Windows, several masks at once, and out of order."""
    masks = torch.zeros(5, *SIZE, dtype=torch.bool)
    generator = torch.Generator().manual_seed(4)
    window = torch.rand(1, 3, 6, generator=generator) > 0.4
    masks[4, 2:5, 7:13] = window[0]
    pair = torch.rand(2, *SIZE, generator=generator) > 0.5
    masks[3], masks[0] = pair
    last = torch.rand(1, 11, 2, generator=generator) > 0.3
    masks[2, :, 15:] = last[0]
    # Mask 1 is nowhere: it has no pixels.
    return [
        MaskPart([4], window, 2, 7),
        MaskPart([3, 0], pair),
        MaskPart([2], last, 0, 15)
    ], masks


@pytest.mark.parametrize('mib', [0, 1e-4, None])
def test_forms_agree(mib):
    parts, masks = parts_and_masks()
    with mask_budget(mib):
        found = collect_masks(iter(parts), 5, SIZE)
    assert isinstance(found, EncodedMasks) == (mib is not None)
    assert found.shape == masks.shape
    assert torch.equal(torch.as_tensor(found.numpy()), masks)
    assert torch.equal(boxes_of_masks(found), boxes_of_masks(masks))


def test_whole_tensors_are_not_copied():
    masks = torch.rand(3, *SIZE) > 0.5
    found = collect_masks([MaskPart(range(3), masks)], 3, SIZE)
    assert found is masks
    # Another order must be put right.
    found = collect_masks([MaskPart([2, 0, 1], masks)], 3, SIZE)
    assert torch.equal(found[[2, 0, 1]], masks)


@pytest.mark.parametrize('mib', [0, None])
def test_nothing(mib):
    with mask_budget(mib):
        found = collect_masks([], 0, SIZE)
    assert found.shape == (0, *SIZE) and found.dtype == torch.bool


def test_halves_of_the_budget():
    with mask_budget(2):
        assert masks_fit(16, (256, 256)) and not masks_fit(17, (256, 256))
        assert masks_per_pass(2**18) == 4
        assert masks_per_pass(2**18, 2**19) == 2
        assert masks_per_pass(2**30) == masks_per_pass(1, 2**30) == 1
    with mask_budget(None):
        assert masks_fit(10**9, (10**4, 10**4))
        assert masks_per_pass(2**40) > 10**9
