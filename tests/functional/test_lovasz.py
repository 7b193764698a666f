"""The Lovasz hinge against the published numbers and slow loops."""
import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mmseghead.functional.lovasz import (NEGLIGIBLE_EXPONENT, GaussianMasks,
                                         gaussian_lovasz_hinge, lovasz_hinge,
                                         lovasz_ranks)

MEMBERS = torch.tensor([1., 1., 0., 0.])


def jaccard_loss(chosen, members):
    """Return 1 - IoU of the members without `chosen`, and with intruders."""
    kept = {i for i in members if i not in chosen}
    union = set(members) | set(chosen)
    return 1 - len(kept) / len(union) if union else 0.


def slow_hinge(logits, labels):
    """Sum errors times the rise of the Jaccard loss, pixel by pixel."""
    errors = [
        1 - f if y else 1 + f for f, y in zip(logits.tolist(), labels.tolist())
    ]
    members = [i for i, y in enumerate(labels.tolist()) if y]
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    total, before = 0., 0.
    for place, i in enumerate(order):
        after = jaccard_loss(order[:place + 1], members)
        total += max(errors[i], 0.) * (after - before)
        before = after
    return total


def dense_hinge(logits, labels):
    """The textbook version in torch, for gradients."""
    signs = 2 * labels - 1
    errors, order = (1 - logits * signs).sort(descending=True)
    labels = labels[order]
    missing = labels.sum() - labels.cumsum(0)
    union = labels.sum() + (1 - labels).cumsum(0)
    jaccard = 1 - missing / union
    rises = torch.cat((jaccard[:1], jaccard[1:] - jaccard[:-1]))
    return errors.relu() @ rises.detach()


def test_published_values():
    phi = torch.tensor([.9, .3, .6, .2], requires_grad=True)
    loss = lovasz_hinge(2 * phi - 1, MEMBERS)
    loss.backward()
    assert loss.item() == pytest.approx(.983333, abs=5e-7)
    torch.testing.assert_close(phi.grad,
                               torch.tensor([-.5, -1., 1 / 3, 1 / 6]))


def test_published_ranks():
    errors = torch.tensor([.2, 1.4, 1.2, .4])
    ranks = lovasz_ranks(errors, MEMBERS.bool(), torch.zeros(4).long(), 1)
    torch.testing.assert_close(ranks,
                               torch.tensor([1 / 4, 1 / 2, 1 / 6, 1 / 12]))


@pytest.mark.parametrize('phi, wanted', [((1, 1, 0, 0), 0.),
                                         ((0, 0, 1, 1), 2.),
                                         ((.5, .5, .5, .5), 1.),
                                         ((1, 0, 0, 0), 1.),
                                         ((1, 1, 1, 0), 2 / 3)])
def test_hard_cases(phi, wanted):
    logits = 2 * torch.tensor(phi, dtype=torch.float32) - 1
    assert lovasz_hinge(logits, MEMBERS).item() == pytest.approx(
        wanted, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_hard_masks_cost_twice_one_minus_iou(pairs):
    predicted, labels = torch.tensor(pairs).unbind(1)
    union = (predicted | labels).sum().item()
    iou = (predicted & labels).sum().item() / union if union else 1.
    loss = lovasz_hinge(2. * predicted - 1, labels)
    assert loss.item() == pytest.approx(2 * (1 - iou), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-16, 16), st.booleans()),
        min_size=1,
        max_size=25))
def test_equals_a_slow_loop_also_with_ties(pairs):
    logits = torch.tensor([f / 8 for f, _ in pairs])  # partly beyond +-1
    labels = torch.tensor([y for _, y in pairs])
    assert lovasz_hinge(logits, labels).item() == pytest.approx(
        slow_hinge(logits, labels), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=25))
def test_is_the_integral_over_thresholds(pairs):
    logits = torch.tensor([k / 4 - 1 for k, _ in pairs])
    labels = torch.tensor([y for _, y in pairs])
    errors = 1 - logits * (2. * labels - 1)
    members = labels.nonzero().flatten().tolist()
    # Errors are multiples of 1/4: between two the set is the same.
    integral = sum(
        jaccard_loss((errors >= t / 8).nonzero().flatten().tolist(), members)
        / 4 for t in range(1, 16, 2))
    assert lovasz_hinge(logits, labels).item() == pytest.approx(
        integral, abs=1e-5)


def test_order_of_pixels_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    logits = torch.rand(101, generator=generator) * 2 - 1
    labels = torch.rand(101, generator=generator) > .6
    shuffle = torch.randperm(101, generator=generator)
    torch.testing.assert_close(
        lovasz_hinge(logits, labels),
        lovasz_hinge(logits[shuffle], labels[shuffle]))


def test_without_pixels_and_without_members():
    logits = torch.zeros(0, requires_grad=True)
    loss = lovasz_hinge(logits, torch.zeros(0))
    loss.backward()
    assert loss.item() == 0 and logits.grad.shape == (0, )
    # Nothing to find: the largest error alone is the loss.
    logits = torch.tensor([-.8, .4, -.1])
    assert lovasz_hinge(logits, torch.zeros(3)).item() == pytest.approx(1.4)


@pytest.mark.parametrize('seed', range(5))
def test_one_sort_for_all_instances(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = [17, 1, 40, 0, 23]
    errors = torch.rand(sum(sizes), generator=generator) * 2
    labels = torch.rand(sum(sizes), generator=generator) > .5
    owners = torch.repeat_interleave(torch.arange(5), torch.tensor(sizes))
    joint = lovasz_ranks(errors, labels, owners, 5)
    for k in range(5):
        own = owners == k
        single = lovasz_ranks(errors[own], labels[own],
                              torch.zeros(sizes[k]).long(), 1)
        assert torch.equal(joint[own], single)


def gaussian_case(seed, num_images=2, num_pixels=61, counts=(3, 2)):
    """Return embeddings, centres, weights and masks of made-up instances."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    total = sum(counts)
    embeddings = rand(num_images, 2, num_pixels).requires_grad_()
    centers = rand(total, 2).requires_grad_()
    # From Gaussians that reach everywhere to such of which little is left.
    weights = (rand(total, 2) * 6).exp().requires_grad_()
    images = torch.repeat_interleave(
        torch.arange(num_images), torch.tensor(counts))
    ids = torch.zeros(num_images, num_pixels, dtype=torch.long)
    for k, image in enumerate(images.tolist()):
        ids[image, rand(num_pixels) < .3] = k + 1
    # Each owns a pixel, whatever was painted over it.
    ids[images, torch.arange(total)] = torch.arange(1, total + 1)
    return embeddings, centers, weights, GaussianMasks(ids, images)


def slow_gaussian_hinges(embeddings, centers, weights, masks):
    hinges = []
    for k, image in enumerate(masks.images.tolist()):
        points = embeddings[image]
        exponent = sum(weights[k, a] * (points[a] - centers[k, a])**2
                       for a in range(2))
        labels = (masks.ids[image] == k + 1).float()
        logits = 2 * (-exponent).exp() - 1
        if masks.valid is not None:
            kept = masks.valid[image, masks.valid_rows[k]]
            logits, labels = logits[kept], labels[kept]
        hinges.append(dense_hinge(logits, labels))
    return torch.stack(hinges)


def assert_gaussians_equal(case, max_pairs):
    embeddings, centers, weights, masks = case
    factors = torch.linspace(.3, 1.7, len(centers))
    wanted = slow_gaussian_hinges(*case)
    (wanted * factors).sum().mul(3).backward()
    inputs = (embeddings, centers, weights)
    expected = [tensor.grad.clone() for tensor in inputs]
    for tensor in inputs:
        tensor.grad = None
    total, hinges = gaussian_lovasz_hinge(*inputs, masks, factors, max_pairs)
    total.mul(3).backward()
    torch.testing.assert_close(hinges, wanted.detach(), atol=1e-6, rtol=1e-5)
    assert not hinges.requires_grad
    for tensor, grad in zip(inputs, expected):
        torch.testing.assert_close(tensor.grad, grad, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('max_pairs', [1, 130, 2**20])
def test_gaussians_equal_a_loop_over_instances(seed, max_pairs):
    assert_gaussians_equal(gaussian_case(seed), max_pairs)


def test_gaussians_with_ignored_pixels():
    embeddings, centers, weights, masks = gaussian_case(7)
    valid = torch.rand(2, 3, 61) > .4
    valid |= (masks.ids > 0)[:, None]
    rows = torch.tensor([2, 0, 1, 1, 2])
    masks = masks._replace(valid=valid, valid_rows=rows)
    assert_gaussians_equal((embeddings, centers, weights, masks), 200)


def test_what_is_pruned_changes_nothing():
    """Far pixels have error 0 in float32 and so neither value nor slope."""
    logit = 2 * torch.tensor(-NEGLIGIBLE_EXPONENT - 1e-3).exp() - 1
    assert logit == -1
    embeddings, centers, weights, masks = gaussian_case(3)
    weights = (weights.detach() * 500).requires_grad_()
    assert_gaussians_equal((embeddings, centers, weights, masks), 100)
    far = embeddings.detach().clone()
    exponents = (weights[0, :, None] * (far[0] - centers[0, :, None])**2
                 ).sum(0)
    gone = (exponents > NEGLIGIBLE_EXPONENT) & (masks.ids[0] == 0)
    assert gone.any()


def test_no_instances():
    embeddings = torch.rand(2, 2, 13, requires_grad=True)
    none = torch.zeros(0, 2, requires_grad=True)
    masks = GaussianMasks(
        torch.zeros(2, 13, dtype=torch.long), torch.zeros(0).long())
    total, hinges = gaussian_lovasz_hinge(embeddings, none, none, masks,
                                          torch.zeros(0))
    total.backward()
    assert total.item() == 0 and hinges.shape == (0, )
    assert embeddings.grad.abs().sum() == 0


def test_one_pixel():
    embeddings = torch.tensor([[[.3], [.2]]], requires_grad=True)
    center = torch.tensor([[.35, .2]])
    masks = GaussianMasks(torch.ones(1, 1).long(), torch.zeros(1).long())
    total, _ = gaussian_lovasz_hinge(embeddings, center,
                                     torch.full((1, 2), 100.), masks,
                                     torch.ones(1))
    phi = torch.exp(torch.tensor(-100 * .05**2))
    assert total.item() == pytest.approx(2 - 2 * phi.item(), abs=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_equals_cpu():
    results = []
    for device in ('cpu', 'cuda'):
        tensors = [part.detach().to(device).requires_grad_()
                   for part in gaussian_case(8)[:3]]
        masks = GaussianMasks(*[None if part is None else part.to(device)
                                for part in gaussian_case(8)[3]])
        factors = torch.arange(1., 1 + len(tensors[1]), device=device)
        total, hinges = gaussian_lovasz_hinge(*tensors, masks, factors, 130)
        total.backward()
        results.append([total, hinges, *[t.grad for t in tensors]])
    for one, other in zip(*results):
        torch.testing.assert_close(one, other.cpu(), atol=1e-5, rtol=1e-4)
