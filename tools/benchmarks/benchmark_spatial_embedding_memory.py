"""Measure the memory of Spatial Embeddings' loss and clustering on a CPU.

Each part runs in a process of its own, whose largest resident size is taken.
"""
import argparse
import json
import multiprocessing
import resource

import torch

from mmseghead.functional.embedding_clustering import EmbeddingClustering
from mmseghead.functional.spatial_embedding import coordinate_map
from mmseghead.models.dense_heads.spatial_embedding_head import PaintedTargets
from mmseghead.models.losses import SpatialEmbeddingLoss
from mmseghead.testing.embedding_scene import embedding_scene
from mmseghead.utils import atomic_write

#: Raw bandwidth whose Gaussians span the image: no pixel can be left out.
WIDE = 0.


def run_loss(size, instances, num_classes, wide):
    """Compute the loss of one image and its gradients."""
    scene = embedding_scene(*size, instances)
    offsets = (scene.embeddings - coordinate_map(*size)).atanh()
    raw = scene.raw_bandwidths
    maps = torch.cat((offsets, torch.full_like(raw, WIDE) if wide else raw))
    maps = maps[None].requires_grad_()
    seeds = torch.zeros(1, num_classes, *size, requires_grad=True)
    index = torch.arange(instances)
    targets = PaintedTargets(scene.ids[None], torch.zeros_like(index),
                             index % num_classes, None)
    losses = SpatialEmbeddingLoss(to_center=False)(maps, seeds, targets)
    sum(losses.values()).backward()


def run_clustering(size, instances, num_classes, wide):
    """Cluster one image, with masks; instances of all classes."""
    scene = embedding_scene(*size, instances)
    raw = scene.raw_bandwidths
    index = torch.arange(num_classes)[:, None, None]
    seeds = scene.seeds * ((scene.ids - 1) % num_classes == index)
    found = EmbeddingClustering()(
        scene.embeddings, torch.full_like(raw, WIDE) if wide else raw, seeds)
    found.masks(*size)


PARTS = dict(
    imports=lambda *_: None, loss=run_loss, clustering=run_clustering)


def peak_gib(part, *rest):
    """Run a part here; return the largest resident size so far in GiB."""
    torch.set_num_threads(1)
    PARTS[part](*rest)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(part, *rest):
    """Run a part in a new process; return its peak in GiB."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(peak_gib, (part, *rest))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, nargs=2, default=(1024, 2048))
    parser.add_argument('--instances', type=int, default=100)
    parser.add_argument('--classes', type=int, default=8)
    parser.add_argument('--skip-wide', action='store_true',
                        help='only Gaussians as wide as trained ones')
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    rest = tuple(args.size), args.instances, args.classes
    peaks = {name: measure(name, *rest, False) for name in PARTS}
    if not args.skip_wide:
        peaks['loss, Gaussians as wide as the image'] = measure(
            'loss', *rest, True)
    print(json.dumps(peaks, indent=1))
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(peaks, file, indent=1)


if __name__ == '__main__':
    main()
