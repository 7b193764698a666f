"""Every method predicts in tiles and with several views, config unchanged."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmseghead import apis
from mmseghead.testing import make_eager, without_pretrained
from mmseghead.utils.mask_budget import mask_budget

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [
    path for path in sorted(ROOT.glob('configs/*/*_quick_shapes.py'))
    # Variants predict as their parents do.
    if "_base_ = './" not in path.read_text()
]
BOXES_ONLY = ('fcos', 'fcosreg')
SIZE = (60, 90)


def names(path):
    return path.stem.replace('_quick_shapes', '')


each_method = pytest.mark.parametrize('path', CONFIGS, ids=names)


@pytest.fixture(autouse=True)
def _budget():
    with mask_budget(512):  # predictors set it
        yield


def predictor(path, folder, **kwargs):
    """Make one with random weights that find a few objects."""
    cfg = without_pretrained(apis.load_config(str(path)))
    init_default_scope(cfg.default_scope)
    own = cfg.model.test_cfg
    part = own.rcnn if 'rcnn' in own else own
    part.update(score_thr=0., max_per_img=5)
    if 'mask_thr_binary' in part:
        part.mask_thr_binary = 0.2
    if names(path) == 'spatial-embedding':  # many small clusters
        part.update(phi_thr=0.99, min_pixels=2)
    for step in cfg.test_dataloader.dataset.pipeline:
        if 'Resize' in step['type']:
            step.scale = (128, 128)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    make_eager(model)
    torch.save(dict(state_dict=model.state_dict()), folder / 'random.pth')
    return apis.Predictor(cfg, str(folder / 'random.pth'), **kwargs)


def picture():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def check(found, size, classes):
    assert len(found)
    assert found.masks.shape == (len(found), *size)
    assert (found.scores.diff() <= 0).all()
    assert (found.scores >= 0).all() and (found.scores <= 1).all()
    assert (found.labels >= 0).all() and (found.labels < classes).all()
    assert found.bboxes.shape == (len(found), 4)
    assert found.bboxes.isfinite().all()


@each_method
def test_mirrored_images_have_mirrored_predictions(path, tmp_path):
    """With both views asked, none of them is special."""
    predict = predictor(path, tmp_path, tta=True)
    image = picture()
    one, = predict([image])
    other, = predict([image[:, ::-1]])
    assert len(one) == len(other) > 0
    assert torch.allclose(one.scores, other.scores, atol=1e-4)
    if names(path) in BOXES_ONLY:
        assert 'masks' not in one
        return
    check(one, SIZE, len(predict.classes))
    inter = (one.masks & other.masks.flip(-1)).sum((1, 2))
    union = (one.masks | other.masks.flip(-1)).sum((1, 2))
    # Equal scores may change places, and pixels at 0.5 may tip.
    assert (inter >= 0.95 * union).float().mean() > 0.5


@each_method
def test_tiles(path, tmp_path):
    predict = predictor(path, tmp_path, tile=60)
    if names(path) in BOXES_ONLY:
        with pytest.raises(ValueError, match='merged by masks'):
            predict([picture()])
        return
    found, = predict([picture()])
    check(found, SIZE, len(predict.classes))
    # An image of one tile is predicted on as it is.
    whole = predictor(path, tmp_path)
    square = picture()[:, :60]
    one, other = predict([square])[0], whole([square])[0]
    assert torch.equal(one.masks, other.masks)
