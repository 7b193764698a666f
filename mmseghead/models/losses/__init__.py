"""Losses."""
from .boundary_refinement_loss import BoundaryRefinementLoss
from .lovasz_hinge_loss import LovaszHingeLoss
from .polar_iou_loss import PolarIoULoss
from .spatial_embedding_loss import SpatialEmbeddingLoss

__all__ = [
    'BoundaryRefinementLoss', 'LovaszHingeLoss', 'PolarIoULoss',
    'SpatialEmbeddingLoss'
]
