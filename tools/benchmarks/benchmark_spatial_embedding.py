"""Time Spatial Embeddings' loss, clustering and inference, on one thread.

Loss and clustering run in turns with plain loops, written after the published
rules, on one made-up scene. A CPU's times are computed time.
"""
import argparse
import json

import torch
from measures import in_turns
from mmengine.config import Config
from spatial_embedding_baselines import plain_clustering, plain_lovasz

from mmseghead.apis.cost import build_model
from mmseghead.functional.embedding_clustering import EmbeddingClustering
from mmseghead.functional.lovasz import GaussianMasks, gaussian_lovasz_hinge
from mmseghead.functional.spatial_embedding import (bandwidth_weights,
                                                    find_foreground,
                                                    instance_means)
from mmseghead.testing.embedding_scene import embedding_scene
from mmseghead.utils import atomic_write, register_all_modules

CONFIG = ('configs/spatial_embedding/spatial-embedding-ellipse-learned_'
          'erfnet_crop1024-50e_cityscapes.py')


def loss_times(size, instances, repeats, device):
    """Time value and gradient of the Lovasz term."""
    scene = embedding_scene(*size, instances)
    ids = scene.ids.flatten().to(device)
    points = scene.embeddings.flatten(1).to(device).requires_grad_()
    raw = scene.raw_bandwidths.flatten(1).to(device)
    own = find_foreground(ids[None], instances)
    centers = instance_means(points.detach()[:, own.places], own)
    weights = bandwidth_weights(instance_means(raw[:, own.places], own))
    masks = GaussianMasks(ids[None], torch.zeros_like(own.counts).long())
    factors = torch.full_like(centers[:, 0], 1 / instances)

    def run(loss):
        value = loss()
        grad, = torch.autograd.grad(value, points)
        return value.detach(), grad

    best, results = in_turns(
        repeats, device,
        plain=lambda: run(lambda: plain_lovasz(points, centers, weights, ids)),
        ours=lambda: run(lambda: gaussian_lovasz_hinge(
            points[None], centers, weights, masks, factors)[0]))
    best['difference'], best['gradient difference'] = (
        float((a - b).abs().max()) for a, b in zip(*results.values()))
    return best


def clustering_times(size, instances, repeats, device):
    """Time the clustering of one class."""
    scene = embedding_scene(*size, instances)
    maps = [part.to(device) for part in scene[1:]]
    clustering = EmbeddingClustering()
    best, results = in_turns(
        repeats, device,
        plain=lambda: plain_clustering(*maps),
        ours=lambda: clustering(*maps[:2], maps[2][None]).masks(*size))
    plain, ours = results.values()
    best['instances found'] = len(ours)
    # Ours are sorted by score, as the steps are.
    best['identical'] = plain.shape == ours.shape and torch.equal(plain, ours)
    return best


@torch.no_grad()
def inference_times(size, instances, repeats, device):
    """Time one image: the network, then the clustering of its maps."""
    model = build_model(Config.fromfile(CONFIG)).eval().to(device)
    image = torch.rand(1, 3, *size, device=device)
    scene = embedding_scene(*size, instances)
    maps = [part.to(device) for part in scene[1:3]]
    seeds = torch.zeros(model.mask_head.num_classes, *size, device=device)
    # Instances of all classes; the others' maps are empty there.
    for k in range(1, instances + 1):
        own = scene.ids == k
        seeds[k % len(seeds)][own] = scene.seeds[own].to(device)
    cluster = model.mask_head.clustering
    best, results = in_turns(
        repeats, device,
        network=lambda: model.mask_head(model.extract_feat(image)),
        clustering=lambda: cluster(*maps, seeds).masks(*size))
    best['instances found'] = len(results['clustering'])
    best['images a second'] = 1e3 / (best['network'] + best['clustering'])
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--skip-network', action='store_true')
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    torch.set_num_threads(1)
    register_all_modules(init_default_scope=False)
    rest = args.repeats, torch.device(args.device)
    rows = {
        'loss, 20 instances, 1024 x 1024': loss_times((1024, 1024), 20, *rest),
        'clustering, 50 instances, 1024 x 2048': clustering_times(
            (1024, 2048), 50, *rest)
    }
    for row in rows.values():
        row['ratio'] = row['plain'] / row['ours']
    if not args.skip_network:
        rows['inference, 1024 x 2048'] = inference_times((1024, 2048), 50,
                                                         *rest)
    print(json.dumps(rows, indent=1))
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
