"""The greedy clustering against the published steps and a slow loop."""
import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from mmdet.datasets.api_wrappers import COCO

from mmseghead.functional.embedding_clustering import (EmbeddingClustering,
                                                       cluster_with_gt)
from mmseghead.functional.instance_map import paint_instances
from mmseghead.functional.spatial_embedding import coordinate_map
from mmseghead.testing import shared_data
from mmseghead.testing.embedding_scene import embedding_scene

EMBEDDING_X = (.100, .101, .102, .106, .107, .108, .104, .300, .301, .302,
               .500, .501, .700)
SEEDS = (.93, .97, .80, .60, .95, .92, .91, .94, .70, .60, .93, .55, .40)


def slow_clusters(embeddings, raw, seeds, rules):
    """Follow the published rules one pixel at a time, for each class."""
    flat, raw = embeddings.flatten(1), raw.flatten(1)
    found = []
    for label, values in enumerate(seeds.flatten(1)):
        members = [
            i for i, q in enumerate(values) if q > rules.foreground_thr
        ]
        if len(members) <= rules.min_pixels:
            continue
        is_open = dict.fromkeys(members, True)
        while sum(is_open.values()) > rules.min_pixels:
            seed = max(
                members, key=lambda i: (float(values[i]) * is_open[i], -i))
            if not is_open[seed] or values[seed] < rules.score_thr:
                break
            is_open[seed] = False
            weights = (10 * raw[:, seed]).exp().expand(2)
            distances = (flat - flat[:, seed, None]).square()
            phi = (-(weights[:, None] * distances).sum(0)).exp()
            proposal = [i for i in members if phi[i] > rules.phi_thr]
            new = sum(is_open[i] for i in proposal)
            if len(proposal) > rules.min_pixels and \
                    new / len(proposal) > rules.min_new:
                found.append((label, float(values[seed]), proposal))
            for i in proposal:
                is_open[i] = False
    return sorted(found, key=lambda item: -item[1])


def assert_same(embeddings, raw, seeds, rules):
    wanted = slow_clusters(embeddings, raw, seeds, rules)
    clusters = rules(embeddings, raw, seeds)
    got = [(label, score, pixels.tolist()) for label, score, pixels in zip(
        clusters.labels.tolist(), clusters.scores.tolist(), clusters.pixels)]
    assert got == wanted
    return got


def published_row(seeds=SEEDS):
    x = torch.tensor(EMBEDDING_X)
    return (torch.stack((x, torch.zeros_like(x)))[:, None],
            torch.ones(1, 1, 13), torch.tensor(seeds)[None, None])


@pytest.mark.parametrize('swap', [False, True], ids=['row', 'column'])
def test_published_steps(swap):
    embeddings, raw, seeds = published_row()
    if swap:
        embeddings = embeddings.flip(0).transpose(1, 2)
        raw, seeds = raw.transpose(1, 2), seeds.transpose(1, 2)
    clusters = EmbeddingClustering(min_pixels=0)(embeddings, raw, seeds)
    assert [p.tolist() for p in clusters.pixels] == [[0, 1, 2, 3, 6],
                                                     [7, 8, 9]]
    assert clusters.scores.tolist() == pytest.approx([.97, .94])
    assert clusters.labels.tolist() == [0, 0]


def test_published_minimum_of_pixels():
    clusters = EmbeddingClustering(min_pixels=3)(*published_row())
    assert [p.tolist() for p in clusters.pixels] == [[0, 1, 2, 3, 6]]


def test_published_stop():
    seeds = list(SEEDS)
    seeds[7], seeds[10] = .89, .80
    clusters = EmbeddingClustering(min_pixels=0)(*published_row(seeds))
    assert [p.tolist() for p in clusters.pixels] == [[0, 1, 2, 3, 6]]


def test_the_stop_is_not_strict():
    seeds = list(SEEDS)
    seeds[7] = .9
    row = published_row(seeds)
    rules = EmbeddingClustering(
        min_pixels=0, score_thr=float(torch.tensor(.9)))
    assert len(rules(*row).pixels) == 2


def random_scene(seed, classes=2, height=9, width=14, num_sigma=1):
    """Return noisy clusters with ties in the seed values."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    centers = rand(2, 5) * torch.tensor([[.08], [.05]])
    owner = (rand(height, width) * 5).long()
    noise = torch.randn(2, height, width, generator=generator) * .004
    raw = .8 + .3 * rand(num_sigma, height, width)
    seeds = (rand(classes, height, width) * 16).round() / 16
    return centers[:, owner] + noise, raw, seeds


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([0, 1, 4, 12]),
    st.sampled_from([.25, .5, .75]), st.sampled_from([1, 2]))
def test_equals_a_slow_loop(seed, min_pixels, threshold, num_sigma):
    scene = random_scene(seed, num_sigma=num_sigma)
    rules = EmbeddingClustering(
        score_thr=.6,
        foreground_thr=threshold,
        phi_thr=.5,
        min_pixels=min_pixels,
        min_new=threshold)
    assert_same(*scene, rules)


def test_scenes_are_not_trivial():
    rules = EmbeddingClustering(score_thr=.6, min_pixels=2)
    counts = [len(assert_same(*random_scene(seed), rules)) for seed in range(8)]
    assert max(counts) > 4 and len(set(counts)) > 2


@pytest.mark.parametrize('phi_thr', [.05, .95])
def test_other_membership_thresholds(phi_thr):
    for seed in range(4):
        assert_same(*random_scene(seed),
                    EmbeddingClustering(.5, .3, phi_thr, 1))


def test_an_isolated_pair_is_rejected():
    """The seed counts as old: of two pixels only one half is new."""
    embeddings = coordinate_map(1, 2)
    rules = EmbeddingClustering(min_pixels=0)
    ones = torch.ones(1, 1, 2)
    assert len(rules(embeddings, ones, ones).pixels) == 0
    three = coordinate_map(1, 3)
    found = rules(three, ones.new_ones(1, 1, 3), ones.new_ones(1, 1, 3))
    assert [p.tolist() for p in found.pixels] == [[0, 1, 2]]


@pytest.mark.parametrize('size', [(0, 0), (1, 1), (3, 7)])
def test_nothing_found(size):
    shape = (2, *size)
    rules = EmbeddingClustering()
    for seeds in (torch.zeros(shape), torch.ones(shape)):  # too few pixels
        clusters = rules(torch.zeros(shape), torch.ones(shape), seeds)
        assert clusters.pixels == []
        assert clusters.labels.dtype == torch.long
        assert clusters.scores.shape == clusters.labels.shape == (0, )
        assert clusters.centers.shape == clusters.weights.shape == (0, 2)
        assert clusters.masks(*size).shape == (0, *size)
        assert clusters.masks(*size).dtype == torch.bool
        assert not clusters.id_map(*size).any()


def scene_of_disks(radius=8):
    """Return the true centroids at every pixel of four touching disks."""
    height, width = 41, 53
    y, x = torch.meshgrid(
        torch.arange(height), torch.arange(width), indexing='ij')
    ids = torch.zeros(height, width, dtype=torch.long)
    for k, (row, column) in enumerate([(10, 10), (10, 27), (27, 10),
                                       (30, 38)]):
        ids[((y - row)**2 + (x - column)**2) <= radius**2] = k + 1
    embeddings = coordinate_map(height, width)
    for k in range(1, 5):
        own = ids == k
        assert own.sum() > 128
        embeddings[:, own] = embeddings[:, own].mean(1, keepdim=True)
    return ids, embeddings


@pytest.mark.parametrize('num_sigma', [1, 2])
def test_perfect_maps_give_the_ground_truth(num_sigma):
    ids, embeddings = scene_of_disks()
    seeds = (ids > 0).float()[None]
    raw = torch.ones(num_sigma, *ids.shape)
    clusters = EmbeddingClustering()(embeddings, raw, seeds)
    masks = clusters.masks(*ids.shape)
    assert len(masks) == 4
    wanted = [(ids == k) for k in range(1, 5)]
    assert {tuple(m.flatten().tolist()) for m in masks} == {
        tuple(m.flatten().tolist()) for m in wanted}
    # One owner a pixel.
    assert torch.equal(clusters.id_map(*ids.shape) > 0, ids > 0)


def test_a_shift_of_all_coordinates_changes_nothing():
    ids, embeddings = scene_of_disks()
    seeds = (ids > 0) * torch.linspace(.91, .99, ids.numel()).view(1, 41, 53)
    raw = torch.ones(1, 41, 53)
    rules = EmbeddingClustering()
    plain = rules(embeddings, raw, seeds)
    shift = torch.tensor([-.75, .5])[:, None, None]
    shifted = rules(embeddings + shift, raw, seeds)
    assert torch.equal(plain.masks(41, 53), shifted.masks(41, 53))
    assert torch.equal(plain.scores, shifted.scores)


def test_classes_are_separate_and_the_best_are_kept():
    ids, embeddings = scene_of_disks()
    seeds = torch.zeros(3, *ids.shape)
    seeds[2][ids == 1] = .95
    seeds[0][ids == 1] = .92
    seeds[0][ids == 4] = .99
    raw = torch.ones(1, *ids.shape)
    clusters = EmbeddingClustering()(embeddings, raw, seeds)
    assert clusters.labels.tolist() == [0, 2, 0]
    assert clusters.scores.tolist() == pytest.approx([.99, .95, .92])
    fewer = EmbeddingClustering(max_per_img=2)(embeddings, raw, seeds)
    assert fewer.labels.tolist() == [0, 2]
    assert fewer.masks(*ids.shape).shape == (2, 41, 53)


def test_later_instances_own_shared_pixels():
    embeddings, raw, seeds = published_row()
    rules = EmbeddingClustering(min_pixels=0, min_new=.1)
    clusters = rules(embeddings, raw, seeds)
    assert [p.tolist() for p in clusters.pixels][:2] == [[0, 1, 2, 3, 6],
                                                         [2, 3, 4, 5, 6]]
    assert clusters.id_map(1, 13)[0, :7].tolist() == [1, 1, 2, 2, 2, 2, 2]


def test_half_precision_maps():
    ids, embeddings = scene_of_disks()
    seeds = (ids > 0).bfloat16()[None]
    clusters = EmbeddingClustering()(
        embeddings, torch.ones(1, 41, 53).bfloat16(), seeds)
    assert len(clusters.pixels) == 4


def test_ground_truth_sampling():
    ids, embeddings = scene_of_disks()
    masks = torch.stack([ids == k for k in (3, 9, 1)])  # the second is empty
    raw = torch.ones(2, *ids.shape)
    found = cluster_with_gt(embeddings, raw, masks)
    assert found.dtype == torch.bool
    assert not found[1].any()
    for i in (0, 2):
        # Background pixels near the centre were not moved: they belong too.
        assert (found[i] & masks[i]).sum() == masks[i].sum()
        assert torch.equal(found[i] & (ids > 0), masks[i])
    assert cluster_with_gt(embeddings, raw, masks[:0]).shape == (0, 41, 53)


@pytest.mark.parametrize('name, value', [('score_thr', float('nan')),
                                         ('foreground_thr', float('inf')),
                                         ('phi_thr', 0.), ('phi_thr', 1.),
                                         ('min_pixels', -1),
                                         ('max_per_img', -5)])
def test_bad_thresholds(name, value):
    with pytest.raises(ValueError, match=f'`{name}` of EmbeddingClustering'):
        EmbeddingClustering(**{name: value})


def test_unknown_threshold():
    with pytest.raises(TypeError, match='seed_thr'):
        EmbeddingClustering(seed_thr=.5)


@pytest.mark.parametrize('name, ann_file', [('nuclei', 'val.json'),
                                            ('coco_mini', 'train.json')])
def test_real_masks_are_found_again(name, ann_file):
    """Perfect maps of real instances give back what is seen of them."""
    folder = shared_data(name)
    if folder is None:
        pytest.skip(f'the data set {name} is absent')
    coco = COCO(folder / ann_file)
    rules = EmbeddingClustering(min_pixels=0, max_per_img=10**6)
    found = total = 0
    for image in list(coco.imgs)[:40]:
        height, width = (coco.imgs[image][k] for k in ('height', 'width'))
        entries = coco.loadAnns(coco.getAnnIds(imgIds=image, iscrowd=False))
        masks = torch.zeros(len(entries), height, width, dtype=torch.uint8)
        for mask, entry in zip(masks, entries):
            mask.copy_(torch.from_numpy(coco.annToMask(entry)))
        ids, visible = paint_instances(masks)
        seeds = (ids > 0).float()[None]
        embeddings = coordinate_map(height, width)
        centers = torch.zeros(len(visible), 2)
        for k in range(len(visible)):
            own = ids == k + 1
            centers[k] = embeddings[:, own].double().mean(1).float()
        embeddings[:, ids > 0] = centers[ids[ids > 0] - 1].T
        raw = torch.ones(1, height, width)
        clusters = rules(embeddings, raw, seeds)
        got = {tuple(pixels.tolist()) for pixels in clusters.pixels}
        distances = torch.cdist(centers.double(), centers.double()) * 1023
        distances.fill_diagonal_(1e9)
        for k in range(len(visible)):
            own = (ids == k + 1).flatten().nonzero().flatten()
            # A pair is half seed; others' pixels are nearer than a radius.
            if len(own) > 2 and distances[k].min() > 5.76:
                total += 1
                found += tuple(own.tolist()) in got
    assert found == total > 100


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_equals_cpu():
    scene = embedding_scene(93, 161, 7)
    maps = scene.embeddings, scene.raw_bandwidths, scene.seeds[None]
    rules = EmbeddingClustering(min_pixels=3)
    one, other = rules(*maps), rules(*[part.cuda() for part in maps])
    assert len(one.pixels) == 7
    assert torch.equal(one.masks(93, 161), other.masks(93, 161).cpu())
    assert torch.equal(one.scores, other.scores.cpu())
