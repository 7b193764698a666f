"""NMS, soft-NMS, groups and overlaps against loops and compiled operators."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.ops import nms as ops

THRESHOLDS = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0])


@st.composite
def boxes_and_scores(draw, most=40):
    """(N, 4) boxes and (N,) distinct scores; integer corners give ties."""
    count = draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    corners = rng.uniform(-5, 30, (count, 4))
    if draw(st.booleans()):
        corners = corners.round()
    corners[:, 2:] = corners[:, :2] + rng.choice([0, 1, 12, 25], (
        count, 2)) * rng.choice([1, 0.71], (count, 1))
    scores = rng.permutation(count) / max(1, count)
    return torch.tensor(corners).float().reshape(-1, 4), torch.tensor(
        scores).float()


def iou(a, b, offset):
    """IoU of two boxes in single precision, nan for 0 / 0."""
    f = np.float32
    a, b = [f(v) for v in a], [f(v) for v in b]
    w = max(f(0), min(a[2], b[2]) - max(a[0], b[0]) + f(offset))
    h = max(f(0), min(a[3], b[3]) - max(a[1], b[1]) + f(offset))
    area = [(v[2] - v[0] + f(offset)) * (v[3] - v[1] + f(offset))
            for v in (a, b)]
    union = area[0] + area[1] - w * h
    return w * h / union if union else f(math.nan)


def loop_nms(boxes, scores, threshold, offset):
    """Greedy NMS by the definition."""
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if not any(
                iou(boxes[k], boxes[i], offset) > np.float32(threshold)
                for k in kept):
            kept.append(i)
    return kept


@settings(deadline=None, max_examples=80)
@given(boxes_and_scores(), THRESHOLDS, st.sampled_from([0, 1]),
       st.sampled_from([1, 3, 256]))
def test_nms_equals_loop(data, threshold, offset, block):
    boxes, scores = data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, 'CPU_BLOCK', block)
        patch.setattr(ops, 'CPU_PAIRS', 4 * block)
        kept = ops.nms(boxes, scores, threshold, offset)
    assert kept.dtype == torch.int64
    assert kept.tolist() == loop_nms(boxes.tolist(), scores.tolist(),
                                     threshold, offset)


@settings(deadline=None, max_examples=80)
@given(boxes_and_scores(most=300), THRESHOLDS, st.sampled_from([0, 1]))
def test_nms_equals_compiled(compiled, data, threshold, offset):
    args = dict(iou_threshold=threshold, offset=offset)
    assert torch.equal(
        ops.nms(*data, **args), compiled.nms(*data, **args))


def test_nms_of_thousands_equals_compiled(compiled):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(5000, 2, generator=generator) * 400
    sides = torch.rand(5000, 2, generator=generator) * 90
    boxes = torch.cat([corners, corners + sides], 1)
    scores = torch.randperm(5000, generator=generator) / 5000  # no ties
    args = dict(iou_threshold=0.6, offset=0)
    kept = ops.nms(boxes, scores, **args)
    assert torch.equal(kept, compiled.nms(boxes, scores, **args))
    assert 256 < len(kept) < 5000


def test_nms_on_the_threshold_keeps_both():
    boxes = torch.tensor([[0., 0, 4, 2], [0, 0, 2, 2]])  # IoU 1/2
    scores = torch.tensor([0.1, 0.9])
    assert ops.nms(boxes, scores, 0.5, 0).tolist() == [1, 0]
    assert ops.nms(boxes, scores, 0.49, 0).tolist() == [1]


def test_nms_orders_equal_scores_by_index():
    boxes = torch.arange(600.)[:, None] + torch.tensor([0, 0, 0.1, 0.1])
    assert ops.nms(boxes, torch.ones(600), 0.5, 0).tolist() == list(range(600))


@pytest.mark.parametrize('dtype', [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64
])
def test_nms_takes_any_dtype(dtype):
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([0.25, 0.5, 0.75]).to(
        dtype if dtype.is_floating_point else torch.float32)
    assert ops.nms(boxes.to(dtype), scores, 0.5, 0).tolist() == [2, 1]


@pytest.mark.parametrize('columns', [1, 8, 21])
def test_bits_packed_on_a_device_equal_those_of_numpy(columns):
    mask = torch.rand(13, columns) < .5
    packed = ops._pack_on_device(mask).numpy()
    np.testing.assert_array_equal(packed, ops._pack_bits(mask))


def test_batched_nms_keeps_classes_apart(torch_ops):
    boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10]])
    scores, classes = torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0, 1, 0])
    config = dict(type='nms', iou_threshold=0.5)
    dets, kept = torch_ops.batched_nms(boxes, scores, classes, config)
    assert kept.tolist() == [1, 2]
    assert torch.equal(dets[:, :4], boxes[kept])


@settings(deadline=None, max_examples=120)
@given(boxes_and_scores(), st.sampled_from([0.2, 0.5]),
       st.sampled_from([0, 1, 2]), st.sampled_from([0, 1]),
       st.sampled_from([1e-3, 0.3]), st.booleans())
def test_softnms_equals_compiled(compiled, data, threshold, method, offset,
                                 min_score, tied):
    boxes, scores = data
    if tied:
        scores = (scores * 4).round() / 4
    results = []
    for module in (ops, compiled):
        dets = torch.zeros(len(boxes), 5)
        # The compiled operator may write to a single box.
        kept = module.softnms(boxes.clone(), scores.clone(), dets,
                              iou_threshold=threshold, sigma=0.4,
                              min_score=min_score, method=method,
                              offset=offset)
        results.append((kept, dets[:len(kept)]))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(
        results[0][1], results[1][1], equal_nan=True)


def loop_softnms(boxes, scores, threshold, method):
    """Soft-NMS by the definition, for distinct scores."""
    left, scores, order, values = set(range(len(scores))), scores[:], [], []
    while left:
        best = max(left, key=lambda i: scores[i])
        left.remove(best)
        order.append(best)
        values.append(scores[best])
        for i in list(left):
            overlap = iou(boxes[best], boxes[i], 0)
            if method == 2:
                scores[i] *= math.exp(-overlap**2 / 0.4)
            elif overlap >= threshold:
                scores[i] *= 1 - overlap if method else 0
            if scores[i] < 0.05:
                left.remove(i)
    return order, values


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 25), st.integers(0, 10**6), st.sampled_from([0, 1, 2]))
def test_softnms_equals_loop(count, seed, method):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 20, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 15, (count, 2))],
                           1).astype(np.float32)
    scores = rng.uniform(0.1, 1, count)
    dets = torch.zeros(count, 5)
    kept = ops.softnms(torch.from_numpy(boxes), torch.tensor(scores).float(),
                       dets, 0.3, 0.4, 0.05, method, 0)
    order, values = loop_softnms(boxes.tolist(), scores.tolist(), 0.3, method)
    assert kept.tolist() == order
    np.testing.assert_allclose(dets[:len(kept), 4], values, rtol=1e-4)
    np.testing.assert_array_equal(dets[:len(kept), :4], boxes[order])


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_soft_nms_through_mmcv(torch_ops, method, dtype):
    boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([0.9, 0.5, 0.3])
    dets, kept = torch_ops.soft_nms(
        boxes.to(dtype), scores.to(dtype), 0.5, method=method)
    expected = dict(naive=[0, 2], linear=[0, 2, 1], gaussian=[0, 2, 1])
    assert kept.tolist() == expected[method]
    assert dets.dtype == dtype
    assert torch.equal(dets[:, :4], boxes[kept].to(dtype))
    assert (dets[1:, 4].diff() < 0).all()


@settings(deadline=None, max_examples=60)
@given(boxes_and_scores(), THRESHOLDS)
def test_nms_match_equals_compiled(compiled, data, threshold):
    dets = torch.cat([data[0], data[1][:, None]], 1)
    assert ops.nms_match(dets, threshold) == compiled.nms_match(
        dets, iou_threshold=threshold)


def test_nms_match_groups():
    dets = torch.tensor([[0., 0, 9, 9, .3], [40, 40, 50, 50, .9],
                         [0, 0, 9, 8, .8], [0, 0, 8, 9, .5]])
    assert ops.nms_match(dets, 0.6) == [[1], [2, 3, 0]]
    assert ops.nms_match(dets[:0], 0.6) == []


@settings(deadline=None, max_examples=40)
@given(boxes_and_scores(9), boxes_and_scores(7), st.sampled_from([0, 1]),
       st.sampled_from([0, 1]), st.booleans())
def test_bbox_overlaps_equals_compiled(compiled, first, second, mode, offset,
                                       aligned):
    first, second = first[0], second[0]
    if aligned:
        count = min(len(first), len(second))
        first, second = first[:count], second[:count]
    shape = len(first) if aligned else (len(first), len(second))
    got, expected = torch.zeros(shape), torch.zeros(shape)
    for module, ious in ((ops, got), (compiled, expected)):
        module.bbox_overlaps(first, second, ious, mode=mode, aligned=aligned,
                             offset=offset)
    torch.testing.assert_close(got, expected, equal_nan=True)


def test_bbox_overlaps_through_mmcv(torch_ops):
    first = torch.tensor([[0., 0, 4, 2]])
    second = torch.tensor([[0., 0, 2, 2], [9, 9, 10, 10]])
    assert torch_ops.bbox_overlaps(first, second).tolist() == [[0.5, 0]]
    assert torch_ops.bbox_overlaps(
        second, first, mode='iof').tolist() == [[1], [0]]


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('count', [0, 1, 700, 9000])
@pytest.mark.parametrize('offset', [0, 1])
def test_nms_on_gpu_equals_cpu(count, offset):
    generator = torch.Generator().manual_seed(count)
    corners = torch.rand(count, 2, generator=generator) * 700
    sides = torch.rand(count, 2, generator=generator) * 90
    boxes = torch.cat([corners, corners + sides], 1)
    scores = torch.randperm(count, generator=generator).float()
    kept = ops.nms(boxes.cuda(), scores.cuda(), 0.5, offset)
    assert kept.is_cuda
    assert torch.equal(kept.cpu(), ops.nms(boxes, scores, 0.5, offset))
