"""Learned blocks a config may swap or several methods share."""
from .attention_map import AttentionMap
from .instance_aware_conv import InstanceAwareConv
from .sparse_processing import (DenseSFM, IndexConv2d, SparseConv,
                                SparseDeformConv, SparseMLP, SparseSFM)

__all__ = [
    'AttentionMap', 'DenseSFM', 'IndexConv2d', 'InstanceAwareConv',
    'SparseConv', 'SparseDeformConv', 'SparseMLP', 'SparseSFM'
]
