"""FCOSIS's attention maps against a loop over locations."""
import pytest
import torch

from mmseghead.models.layers import AttentionMap
from mmseghead.models.layers.attention_map import LevelCues, inside_boxes

STRIDE, HEIGHT, WIDTH = 8, 5, 7


def _cues(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return LevelCues(
        STRIDE, torch.randn(HEIGHT, WIDTH, generator=generator),
        8 * torch.randn(2, HEIGHT, WIDTH, generator=generator))


BOXES = torch.tensor([[0., 0, 30, 20], [10, 8, 50, 38], [20, 1, 56, 40]])
CENTERS = torch.tensor([[14., 9], [28, 25], [40, 18]])


def _slow(cues, foreground, background, tolerance):
    maps = torch.zeros(len(BOXES), HEIGHT, WIDTH)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            place = torch.tensor([(x + .5) * STRIDE, (y + .5) * STRIDE])
            away = [(place + cues.centers[:, y, x] - c).norm()
                    for c in CENTERS]
            for j, (x1, y1, x2, y2) in enumerate(BOXES.tolist()):
                if not (x1 <= place[0] <= x2 and y1 <= place[1] <= y2):
                    continue
                own = away[j] <= min(away) + tolerance * STRIDE
                m = cues.coarse[y, x].sigmoid() if own else 0.
                maps[j, y, x] = foreground * m - background * (1 - m)
    return maps


@pytest.mark.parametrize('tolerance', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('learn_mu', [True, False])
def test_equals_a_loop(tolerance, learn_mu):
    layer = AttentionMap(learn_mu=learn_mu, tolerance=tolerance)
    with torch.no_grad():
        layer.foreground.fill_(1.7)
        if learn_mu:
            layer.background.fill_(0.6)
    cues = _cues()
    wanted = _slow(cues, 1.7, 0.6 if learn_mu else 0., tolerance)
    assert torch.allclose(layer(cues, BOXES, CENTERS), wanted, atol=1e-6)
    assert len(list(layer.parameters())) == 1 + learn_mu


def test_sure_and_alone_is_the_box():
    """mu = 0, coarse = inf and one instance: lambda in the box; as 'box'."""
    cues = _cues()._replace(coarse=torch.full((HEIGHT, WIDTH), 1e4))
    full = AttentionMap(learn_mu=False)(cues, BOXES[1:2], CENTERS[1:2])
    box = AttentionMap(mode='box')(_cues(5), BOXES[1:2], CENTERS[1:2])
    assert torch.equal(full, box)
    assert full.unique().tolist() == [0, 1]
    assert full.sum() == 4 * 5  # rows 12-36, columns 12-44


def test_two_detections_of_one_object_share_it():
    """The paper's rule would share out its locations."""
    cues = LevelCues(STRIDE, torch.full((HEIGHT, WIDTH), 20.),
                     torch.zeros(2, HEIGHT, WIDTH))
    place = torch.stack(
        torch.meshgrid((torch.arange(WIDTH) + .5) * STRIDE,
                       (torch.arange(HEIGHT) + .5) * STRIDE,
                       indexing='xy'))
    cues = cues._replace(centers=torch.tensor([28., 20.])[:, None, None] -
                         place)
    boxes = torch.tensor([[0., 0, 56, 40]]).repeat(2, 1)
    centers = torch.tensor([[27.5, 20], [29, 20]])
    assert (AttentionMap()(cues, boxes, centers) > 0.9).all()
    strict = AttentionMap(tolerance=0)(cues, boxes, centers)
    assert (strict[0] > 0.9).all() and (strict[1] < -0.9).all()


def test_gradients():
    layer = AttentionMap()
    coarse = torch.randn(HEIGHT, WIDTH, requires_grad=True)
    centers = torch.randn(2, HEIGHT, WIDTH, requires_grad=True)
    boxes = BOXES.clone().requires_grad_()
    layer(LevelCues(STRIDE, coarse, centers), boxes,
          CENTERS).square().sum().backward()
    assert coarse.grad.abs().sum() > 0
    assert layer.foreground.grad != 0 and layer.background.grad != 0
    assert centers.grad is None and boxes.grad is None


def test_tiny_boxes_have_a_place():
    xs, ys = (torch.arange(WIDTH) + .5) * 8, (torch.arange(HEIGHT) + .5) * 8
    boxes = torch.tensor([[17., 9, 18, 10], [-5, -5, -4, -4], [0, 5, 56, 5.5]])
    inside = inside_boxes(xs, ys, boxes)
    assert inside.flatten(1).any(1).all()
    assert inside[0].nonzero().tolist() == [[1, 2]]
    assert inside[1].nonzero().tolist() == [[0, 0]]
    assert inside[2].sum() == WIDTH


@pytest.mark.parametrize('kwargs, name', [(dict(mode='none'), 'mode'),
                                          (dict(tolerance=-1), 'tolerance')])
def test_bad_arguments(kwargs, name):
    with pytest.raises(ValueError, match=f'`{name}` of AttentionMap'):
        AttentionMap(**kwargs)
