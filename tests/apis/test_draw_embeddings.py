"""The picture of what Spatial Embeddings see."""
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead.apis import draw_spatial_embeddings
from mmseghead.testing import without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[2]


def config(name):
    register_all_modules(init_default_scope=False)
    return without_pretrained(
        Config.fromfile(ROOT / 'configs' / f'{name}_quick_shapes.py'))


@pytest.mark.parametrize('bias', [-9., 2.], ids=['nothing', 'everything'])
def test_panels_side_by_side(tmp_path, bias):
    cfg = config('spatial_embedding/spatial-embedding')
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        model.mask_head.seed_decoder.output.bias += bias
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), weights)
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.random.default_rng(0).integers(
        0, 255, (60, 90, 3), dtype=np.uint8))
    path = draw_spatial_embeddings(cfg, str(weights), str(image),
                                   str(tmp_path / 'out.png'))
    picture = cv2.imread(str(path))
    # The network's input is 171x256.
    assert picture.shape == (512 + 24, 768 + 4 * 767 + 4 * 6, 3)


def test_what_cannot_be_drawn(tmp_path):
    cfg = config('spatial_embedding/spatial-embedding')
    with pytest.raises(FileNotFoundError, match='no image'):
        draw_spatial_embeddings(cfg, None, str(tmp_path / 'absent.png'), 'x')
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match='SpatialEmbeddingHead'):
        draw_spatial_embeddings(
            config('solo/solo'), None, str(image), str(tmp_path / 'out.png'))
