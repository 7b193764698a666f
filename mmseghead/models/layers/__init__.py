"""Learned blocks a config may swap or several methods share."""
from .attention_map import AttentionMap
from .erfnet_blocks import (ERFNetDecoder, ERFNetDownsampler, ERFNetUpsampler,
                            NonBottleneck1D)
from .instance_aware_conv import InstanceAwareConv
from .pyramid_decoder import PyramidDecoder
from .sparse_processing import (DenseSFM, IndexConv2d, SparseConv,
                                SparseDeformConv, SparseMLP, SparseSFM)

__all__ = [
    'AttentionMap', 'DenseSFM', 'ERFNetDecoder', 'ERFNetDownsampler',
    'ERFNetUpsampler', 'IndexConv2d', 'InstanceAwareConv',
    'NonBottleneck1D', 'PyramidDecoder', 'SparseConv',
    'SparseDeformConv', 'SparseMLP', 'SparseSFM'
]
