"""The parts of PointINS's mask branch as functions to be measured."""
import torch
from mmengine.config import Config

from mmseghead.apis.cost import build_model
from mmseghead.functional.box_masks import paste_masks
from mmseghead.functional.pyramid_points import (PyramidPoints, gather_patches,
                                                 unravel_places)

SHAPE = (800, 1333)
STRIDES = (8, 16, 32, 64, 128)
CHANNELS = 256


def random_points(sizes, count):
    places = sum(height * width for height, width in sizes)
    rows = torch.randperm(places)[:count]
    images = torch.zeros_like(rows)
    return PyramidPoints(images, *unravel_places(rows, sizes, 1))


def branch_parts(config, count):
    """Return calls of the mask branch's parts, and of the dense ones."""
    branch = build_model(Config.fromfile(config)).bbox_head.mask_branch
    conv = branch.instance_conv
    sizes = [tuple(-(-side // s) for side in SHAPE) for s in STRIDES]
    x = [torch.randn(1, CHANNELS, *size) for size in sizes]
    feats, points = branch.features(x), random_points(sizes, count)
    geometry = torch.rand(count, 4) * 8
    patches = gather_patches(feats, points)
    templates = conv.templates(patches)
    weights = conv.weights(patches[..., 4], points.anchors, geometry)
    features = conv.convolve(templates, weights)
    logits = branch.predictor(features)[:, 0]
    corner = torch.rand(count, 2) * torch.tensor(SHAPE[::-1]) / 2
    boxes = torch.cat((corner, corner + 16 + torch.rand(count, 2) * 300), 1)
    cells = torch.cat([f.flatten(2)[0].T for f in feats])
    everywhere = torch.rand(len(cells), 4)
    no_anchor = torch.zeros(len(cells), dtype=torch.long)
    parts = {
        'tower': lambda: branch.features(x),
        'patches': lambda: gather_patches(feats, points),
        'template': lambda: conv.templates(patches),
        'weights': lambda: conv.weights(patches[..., 4], points.anchors,
                                        geometry),
        'dynamic convolution': lambda: conv.convolve(templates, weights),
        'predictor': lambda: branch.predictor(features),
        'pasting': lambda: paste_masks(logits.sigmoid(), boxes, SHAPE, 0.5),
    }
    dense = {
        'template': lambda: [conv.template(feat) for feat in feats],
        'weights': lambda: conv.weights(cells, no_anchor, everywhere),
    }
    return parts, dense
