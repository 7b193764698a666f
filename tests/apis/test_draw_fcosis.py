"""FCOSIS's picture, on a model with random weights."""
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmseghead.apis import draw_fcosis, load_config
from mmseghead.testing import without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=['fcosis', 'fcosis-no-top-down'])
def setup(request, tmp_path):
    register_all_modules(init_default_scope=False)
    name = request.param
    cfg = load_config(str(ROOT / f'configs/fcosis/{name}_quick_shapes.py'))
    cfg = without_pretrained(cfg)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    meta = dict(dataset_meta=dict(classes=cfg.classes))
    checkpoint = tmp_path / 'a.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=meta), checkpoint)
    image = tmp_path / 'a.png'
    cv2.imwrite(str(image), np.random.default_rng(0).integers(
        0, 255, (64, 96, 3)).astype(np.uint8))
    return name, cfg, str(checkpoint), str(image), tmp_path / 'out' / 'a.png'


@pytest.mark.parametrize('score_thr', [0.001, 1.1])
def test_picture(setup, score_thr):
    name, cfg, checkpoint, image, out = setup
    if name != 'fcosis':
        with pytest.raises(ValueError, match='attention maps'):
            draw_fcosis(cfg, checkpoint, image, str(out))
        assert not out.exists()
        return
    assert draw_fcosis(cfg, checkpoint, image, str(out), score_thr) == out
    picture = cv2.imread(str(out))
    assert picture.shape[0] == 384 + 24
    assert (picture.shape[1] > 3 * 384) == (score_thr < 1)


def test_missing_image(setup):
    _, cfg, checkpoint, _, out = setup
    with pytest.raises(FileNotFoundError, match='none.png'):
        draw_fcosis(cfg, checkpoint, 'none.png', str(out))
