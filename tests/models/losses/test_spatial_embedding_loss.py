"""The clustering loss: published numbers, a slow loop, and edge cases."""
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from mmengine.registry import init_default_scope

from mmseghead.functional.spatial_embedding import coordinate_map
from mmseghead.models.losses import LovaszHingeLoss, SpatialEmbeddingLoss
from mmseghead.registry import MODELS

IDS = torch.tensor([[1, 1, 0], [2, 2, 0]])
SIGMA = torch.tensor([[1.3, 1.5, 1.4], [1.4, 1.4, 1.4]])
SEEDS = torch.tensor([[2., 0., -2.], [0., -2., -2.]])


def targets_of(ids, images, labels, valid=None):
    return SimpleNamespace(
        ids=ids,
        images=torch.tensor(images, dtype=torch.long),
        labels=torch.tensor(labels, dtype=torch.long),
        valid=valid)


def published_case(shifted=False, num_sigma=1):
    offsets = torch.zeros(2, 2, 3)
    if shifted:
        offsets[0, 0, 0], offsets[1, 1, 1] = .0005, -.0004
    sigma = [SIGMA] if num_sigma == 1 else [SIGMA, torch.full((2, 3), 1.2)]
    maps = torch.cat((offsets, torch.stack(sigma)))[None]
    return maps, SEEDS[None, None], targets_of(IDS[None], [0, 0], [0, 0])


def assert_terms(losses, inst, var, seed, total, weights=(1, 10, 1)):
    wanted = dict(loss_inst=inst, loss_var=var, loss_seed=seed)
    for (name, value), weight in zip(wanted.items(), weights):
        assert losses[name].item() / weight == pytest.approx(
            value, abs=6e-7), name
    assert sum(losses.values()).item() == pytest.approx(total, abs=1.1e-6)


@pytest.mark.parametrize('to_center', [True, False])
def test_published_without_offsets(to_center):
    loss = SpatialEmbeddingLoss(to_center=to_center)
    assert_terms(
        loss(*published_case()), .498982, .005, .906457, 1.455438)


def test_published_centroid():
    loss = SpatialEmbeddingLoss(to_center=True)
    assert_terms(
        loss(*published_case(True)), .601498, .005, .654104, 1.305602)


def test_published_learned_centre():
    loss = SpatialEmbeddingLoss(to_center=False)
    assert_terms(
        loss(*published_case(True)), .643446, .005, .992541, 1.685986)


def test_published_batch_with_an_empty_image():
    maps, seeds, _ = published_case(True)
    ids = torch.stack((IDS, torch.zeros_like(IDS)))
    losses = SpatialEmbeddingLoss()(
        torch.cat((maps, torch.zeros_like(maps))),
        torch.cat((seeds, torch.zeros_like(seeds))),
        targets_of(ids, [0, 0], [0, 0]))
    assert_terms(losses, .300749, .0025, .452052, .777801)


def test_published_ellipse():
    losses = SpatialEmbeddingLoss()(*published_case(num_sigma=2))
    assert_terms(losses, .891905, .0025, .906457, 1.823362)


def test_weights_of_the_terms():
    loss = SpatialEmbeddingLoss(inst_weight=3, var_weight=.5, seed_weight=2)
    losses = loss(*published_case())
    for name, wanted in (('loss_inst', 3 * .498982), ('loss_var', .0025),
                         ('loss_seed', 2 * .906457)):
        assert losses[name].item() == pytest.approx(wanted, abs=3e-6)


def slow_loss(maps, seed_logits, targets, to_center, fg_weight):
    """Follow the published rules, one image and instance at a time."""
    height, width = maps.shape[-2:]
    coordinates = coordinate_map(height, width)
    inst = var = seed = 0.
    for b in range(len(maps)):
        embedding = maps[b, :2].tanh() + coordinates
        sigma, q = maps[b, 2:], seed_logits[b].sigmoid()
        valid = torch.ones_like(q, dtype=torch.bool) \
            if targets.valid is None else targets.valid[b]
        own_inst, own_var = [], []
        wanted = torch.zeros_like(q)
        weight = torch.ones_like(q)
        for k in (targets.images == b).nonzero().flatten().tolist():
            mask, label = targets.ids[b] == k + 1, targets.labels[k]
            center = (coordinates if to_center else embedding)[:, mask].mean(1)
            s = sigma[:, mask].mean(1)
            own_var.append(((sigma[:, mask] - s.detach()[:, None])**2).mean())
            w = (10 * s).exp().expand(2)
            phi = (-(w[:, None, None] *
                     (embedding - center[:, None, None])**2).sum(0)).exp()
            kept = valid[label]
            own_inst.append(LovaszHingeLoss()(2 * phi[kept] - 1, mask[kept]))
            wanted[label][mask] = phi[mask].detach()
            weight[label][mask] = fg_weight[label]
        errors = weight * (q - wanted)**2 * valid
        seed = seed + (errors.sum((1, 2)) / valid.sum((1, 2))).sum()
        if own_inst:
            inst = inst + sum(own_inst) / len(own_inst)
            var = var + sum(own_var) / len(own_var)
    return inst / len(maps), 10 * var / len(maps), seed / len(maps)


def random_case(seed, num_sigma=1, classes=3, ignored=False):
    """Return maps whose Gaussians span some pixels, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    height, width, images = 7, 11, [0, 0, 2, 2, 2]

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    maps = torch.cat(((rand(3, 2, height, width) - .5) * .01,
                      .9 + .4 * rand(3, num_sigma, height, width)), 1)
    ids = torch.zeros(3, height, width, dtype=torch.long)
    for k, b in enumerate(images):
        ids[b][rand(height, width) < .2] = k + 1
        ids[b, k] = k + 1  # a row of its own
    labels = torch.randint(classes, (5, ), generator=generator).tolist()
    valid = None
    if ignored:
        valid = (rand(3, classes, height, width) > .3) | (ids > 0)[:, None]
    logits = torch.randn(3, classes, height, width, generator=generator)
    return (maps.requires_grad_(), logits.requires_grad_(),
            targets_of(ids, images, labels, valid))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.booleans(), st.sampled_from([1, 2]),
    st.booleans())
def test_equals_a_slow_loop(seed, to_center, num_sigma, ignored):
    case = random_case(seed, num_sigma, ignored=ignored)
    fg_weight = [10., 3., 7.]
    terms = slow_loss(*case, to_center, fg_weight)
    expected = torch.autograd.grad(sum(terms), case[:2])
    loss = SpatialEmbeddingLoss(to_center=to_center, fg_weight=fg_weight)
    losses = loss(*case)
    for value, wanted in zip(losses.values(), terms):
        torch.testing.assert_close(value, wanted, atol=2e-5, rtol=2e-5)
    grads = torch.autograd.grad(sum(losses.values()), case[:2])
    for grad, wanted in zip(grads, expected):
        torch.testing.assert_close(grad, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('to_center', [True, False])
def test_numbers_of_instances_do_not_matter(to_center):
    maps, seeds, targets = random_case(3)
    loss = SpatialEmbeddingLoss(to_center=to_center)
    before = loss(maps, seeds, targets)
    new = torch.tensor([3, 0, 4, 2, 1])  # instance k becomes new[k]
    ids = torch.where(targets.ids > 0, new[targets.ids - 1] + 1, 0)
    images, labels = targets.images.clone(), targets.labels.clone()
    images[new], labels[new] = targets.images, targets.labels
    after = loss(maps, seeds,
                 targets_of(ids, images.tolist(), labels.tolist()))
    for name in before:
        torch.testing.assert_close(before[name], after[name])


@pytest.mark.parametrize('to_center', [True, False])
def test_a_shift_of_all_coordinates_does_not_matter(to_center):
    maps, seeds, targets = random_case(4, num_sigma=2)
    loss = SpatialEmbeddingLoss(to_center=to_center)
    coordinates = coordinate_map(*maps.shape[-2:])
    shift = torch.tensor([.3, -.6])[:, None, None]
    before = loss(maps, seeds, targets)
    after = loss(maps, seeds, targets, coordinates + shift)
    for name in before:
        torch.testing.assert_close(
            before[name], after[name], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize('to_center', [True, False])
def test_one_sigma_is_two_equal_ones(to_center):
    maps, seeds, targets = random_case(5)
    loss = SpatialEmbeddingLoss(to_center=to_center)
    twice = torch.cat((maps, maps[:, 2:]), 1)
    one, two = loss(maps, seeds, targets), loss(twice, seeds, targets)
    for name in one:
        torch.testing.assert_close(one[name], two[name])


def test_without_instances():
    maps = torch.randn(2, 3, 5, 7, requires_grad=True)
    logits = torch.randn(2, 1, 5, 7, requires_grad=True)
    targets = targets_of(torch.zeros(2, 5, 7, dtype=torch.long), [], [])
    losses = SpatialEmbeddingLoss(seed_weight=1.5)(maps, logits, targets)
    assert losses['loss_inst'] == losses['loss_var'] == 0
    torch.testing.assert_close(losses['loss_seed'],
                               1.5 * logits.sigmoid().square().mean())
    sum(losses.values()).backward()
    assert torch.isfinite(maps.grad).all()
    assert maps.grad.abs().sum() == 0
    assert torch.isfinite(logits.grad).all()


def test_one_pixel():
    maps = torch.tensor([0., 0., 1.]).view(1, 3, 1, 1)
    losses = SpatialEmbeddingLoss()(
        maps, torch.zeros(1, 1, 1, 1),
        targets_of(torch.ones(1, 1, 1, dtype=torch.long), [0], [0]))
    assert losses['loss_inst'] == losses['loss_var'] == 0
    assert losses['loss_seed'].item() == pytest.approx(10 * .25)


def test_what_is_constant_for_the_gradient():
    """Seeds must not pull at embeddings, nor variances at their mean."""
    maps, logits, targets = random_case(6)
    losses = SpatialEmbeddingLoss()(maps, logits, targets)
    by_seed = torch.autograd.grad(
        losses['loss_seed'], maps, retain_graph=True, allow_unused=True)[0]
    assert by_seed is None or not by_seed.any()
    by_var = torch.autograd.grad(losses['loss_var'], maps)[0]
    assert not by_var[:, :2].any()
    # Around their mean the slopes of an instance sum to zero.
    for k, image in enumerate(targets.images.tolist()):
        own = by_var[image, 2][targets.ids[image] == k + 1]
        assert own.abs().max() > 0
        assert own.sum().abs() < 1e-6


def test_reductions_and_class_weights():
    maps, logits, targets = random_case(8)
    summed = SpatialEmbeddingLoss(seed_reduction='sum')(maps, logits, targets)
    mean = SpatialEmbeddingLoss(seed_reduction='mean')(maps, logits, targets)
    torch.testing.assert_close(summed['loss_seed'], 3 * mean['loss_seed'])
    same = SpatialEmbeddingLoss(fg_weight=[10., 10., 10.])
    torch.testing.assert_close(
        same(maps, logits, targets)['loss_seed'], summed['loss_seed'])


def test_half_precision_maps_under_autocast():
    maps, logits, targets = random_case(9)
    wanted = SpatialEmbeddingLoss()(maps.bfloat16().float(),
                                    logits.bfloat16().float(), targets)
    with torch.autocast('cpu', torch.bfloat16):
        losses = SpatialEmbeddingLoss()(maps.bfloat16(), logits.bfloat16(),
                                        targets)
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, wanted[name])


def test_huge_bandwidths_stay_finite():
    maps, logits, targets = random_case(10)
    with torch.no_grad():
        maps[:, 2:] += 20
    losses = SpatialEmbeddingLoss(var_weight=0.)(maps, logits, targets)
    grad, = torch.autograd.grad(sum(losses.values()), maps)
    assert torch.isfinite(sum(losses.values()))
    assert torch.isfinite(grad).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match='`seed_reduction`'):
        SpatialEmbeddingLoss(seed_reduction='none')
    loss = SpatialEmbeddingLoss(fg_weight=[1., 2.])
    with pytest.raises(ValueError, match='`fg_weight`.* 3 numbers'):
        loss(*random_case(0))


def test_losses_are_registered():
    init_default_scope('mmseghead')
    for name in ('LovaszHingeLoss', 'SpatialEmbeddingLoss'):
        assert type(MODELS.build(dict(type=name))).__name__ == name


@pytest.mark.slow
def test_memory_at_two_megapixels_with_a_hundred_instances(tmp_path):
    """Loss with gradients, and clustering: below 4 GiB each on a CPU."""
    tool = (Path(__file__).resolve().parents[3] /
            'tools/benchmarks/benchmark_spatial_embedding_memory.py')
    out = tmp_path / 'peaks.json'
    subprocess.run([sys.executable, str(tool), '--skip-wide', '--out',
                    str(out)], check=True, timeout=900)
    peaks = json.loads(out.read_text())
    assert set(peaks) == {'imports', 'loss', 'clustering'}
    assert peaks['imports'] < peaks['clustering'] < 4
    assert peaks['imports'] < peaks['loss'] < 4
