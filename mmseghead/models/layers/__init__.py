"""Learned blocks a config may swap or several methods share."""
from .attention_map import AttentionMap
from .erfnet_blocks import (ERFNetDecoder, ERFNetDownsampler, ERFNetUpsampler,
                            NonBottleneck1D)
from .instance_aware_conv import InstanceAwareConv
from .instance_feature_fusion import InstanceFeatureFusion
from .pyramid_decoder import PyramidDecoder
from .semantic_fusion import (MultiBranchFusion, SemanticFusionStage,
                              SimpleSemanticFusionStage)
from .sparse_processing import (DenseSFM, IndexConv2d, SparseConv,
                                SparseDeformConv, SparseMLP, SparseSFM)
from .sparse_refinement import SparseRefinement

__all__ = [
    'AttentionMap', 'DenseSFM', 'ERFNetDecoder', 'ERFNetDownsampler',
    'ERFNetUpsampler', 'IndexConv2d', 'InstanceAwareConv',
    'InstanceFeatureFusion', 'MultiBranchFusion', 'NonBottleneck1D',
    'PyramidDecoder', 'SemanticFusionStage', 'SimpleSemanticFusionStage',
    'SparseConv', 'SparseDeformConv', 'SparseMLP', 'SparseRefinement',
    'SparseSFM'
]
