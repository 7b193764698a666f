"""Data sets, transforms and converters."""
from . import transforms
from .instance_dataset import (CityscapesInstanceDataset, InstanceDataset,
                               LVISInstanceDataset, NucleiDataset,
                               ShapesDataset)
from .seeded_sampler import (SeededDrawMixin, SeededIndex,
                             SeededInfiniteSampler, SeededSampler)
from .shapes_generator import SHAPE_CLASSES, generate_shapes, shapes_scene

__all__ = [
    'CityscapesInstanceDataset', 'InstanceDataset', 'LVISInstanceDataset',
    'NucleiDataset', 'SHAPE_CLASSES', 'SeededDrawMixin', 'SeededIndex',
    'SeededInfiniteSampler', 'SeededSampler', 'ShapesDataset',
    'generate_shapes', 'shapes_scene', 'transforms'
]
