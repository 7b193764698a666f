"""Losses."""
from .lovasz_hinge_loss import LovaszHingeLoss
from .spatial_embedding_loss import SpatialEmbeddingLoss

__all__ = ['LovaszHingeLoss', 'SpatialEmbeddingLoss']
