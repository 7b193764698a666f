"""The Lovasz hinge as a registered loss."""
import pytest
import torch

from mmseghead.functional.lovasz import lovasz_hinge
from mmseghead.models.losses import LovaszHingeLoss

LOGITS = torch.tensor([[.8, -.4], [.2, -.6]])
LABELS = torch.tensor([[1, 1], [0, 0]])


def test_any_shape_weight_and_average():
    plain = lovasz_hinge(LOGITS.flatten(), LABELS.flatten())
    assert LovaszHingeLoss()(LOGITS, LABELS).item() == pytest.approx(.983333)
    loss = LovaszHingeLoss(loss_weight=3.)(LOGITS, LABELS, avg_factor=4.)
    torch.testing.assert_close(loss, plain * 3 / 4)


def test_pixels_without_weight():
    weight = torch.tensor([[1., 1.], [0., 1.]])
    loss = LovaszHingeLoss()(LOGITS, LABELS, weight)
    kept = torch.tensor([0, 1, 3])
    torch.testing.assert_close(
        loss, lovasz_hinge(LOGITS.flatten()[kept],
                           LABELS.flatten()[kept]))
    none = LovaszHingeLoss()(
        LOGITS.clone().requires_grad_(), LABELS, torch.zeros(2, 2))
    none.backward()
    assert none == 0


def test_half_precision():
    loss = LovaszHingeLoss()(LOGITS.half(), LABELS.bool())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(.9833, abs=1e-3)


def test_bad_arguments():
    with pytest.raises(ValueError, match='one shape'):
        LovaszHingeLoss()(LOGITS, LABELS[:1])
    with pytest.raises(ValueError, match='`reduction_override`'):
        LovaszHingeLoss()(LOGITS, LABELS, reduction_override='none')
