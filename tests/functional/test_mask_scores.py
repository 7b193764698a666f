"""How sure a mask is of itself."""
import pytest
import torch

from mmseghead.functional.mask_scores import mask_scores, predicted_scores


def test_mean_within_the_mask():
    probs = torch.tensor([[[0.9, 0.7], [0.5, 0.1]], [[0.2, 0.5], [0.4, 0.]],
                          [[0.6, 1.], [0.8, 1.]]])
    assert torch.allclose(mask_scores(probs), torch.tensor([0.8, 0., 0.85]))
    # At a threshold of 0.3 the first mask has 3 cells.
    assert torch.allclose(
        mask_scores(probs, 0.3)[0], torch.tensor((0.9 + 0.7 + 0.5) / 3))


def test_scores_of_the_predicted_class():
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 5, 6)
    labels = torch.tensor([2, 0, 1, 2])
    want = torch.stack([
        mask_scores(maps[label][None].sigmoid())[0]
        for maps, label in zip(logits, labels)
    ])
    assert torch.allclose(predicted_scores(logits, labels), want)
    agnostic = logits[:, 1:2]
    assert torch.allclose(
        predicted_scores(agnostic, labels), mask_scores(agnostic.sigmoid()))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype):
    """12544 cells of 0.75: half precision stops adding at 2048 and less."""
    probs = torch.full((2, 112, 112), 0.75, dtype=dtype)
    got = mask_scores(probs)
    assert got.dtype == torch.float32
    assert torch.allclose(got, torch.tensor(0.75))
    assert predicted_scores(
        torch.ones(2, 1, 7, 7, dtype=dtype),
        torch.tensor([0, 5])).dtype == torch.float32


def test_no_mask():
    assert mask_scores(torch.zeros(0, 28, 28)).shape == (0, )
    none = torch.zeros(0, dtype=torch.long)
    assert predicted_scores(torch.zeros(0, 7, 28, 28), none).shape == (0, )
