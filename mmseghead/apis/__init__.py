"""What tools and users call."""
from .draw import draw_predictions
from .draw_embeddings import draw_spatial_embeddings
from .draw_fcosis import draw_fcosis
from .predictor import Predictor
from .train import (build_runner, check_device, enable_amp,
                    enable_auto_scale_lr, load_config, parse_options,
                    set_outputs, set_resume, test, train)
from .tta import enable_tta, tta_pipeline
from .visualize import visualize

__all__ = [
    'Predictor', 'build_runner', 'check_device', 'draw_fcosis',
    'draw_predictions', 'draw_spatial_embeddings', 'enable_amp',
    'enable_auto_scale_lr', 'enable_tta', 'load_config', 'parse_options',
    'set_outputs', 'set_resume', 'test', 'train', 'tta_pipeline', 'visualize'
]
