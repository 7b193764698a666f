"""MaskFCOS and RetinaMask: boxes of a dense head, masks of a RoI head."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

CONFIGS = dict(
    maskfcos='configs/maskfcos/maskfcos_quick_shapes.py',
    retinamask='configs/retinamask/retinamask_quick_shapes.py')
CLASSES = 6


@pytest.fixture(params=sorted(CONFIGS))
def model(request, pytestconfig):
    register_all_modules(init_default_scope=False)
    path = pytestconfig.rootpath / CONFIGS[request.param]
    cfg = without_pretrained(Config.fromfile(path))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def _data(model, counts=(3, 2), training=True):
    batch = fake_batch([(64, 96), (80, 64)], counts, CLASSES)
    return model.data_preprocessor(batch, training)


def test_proposals_in_training_are_what_a_test_finds(model):
    """FCOS scales its distances in tests only; proposals do in training."""
    data = _data(model)
    model.train_cfg['proposals'].update(score_thr=0.0, max_per_img=7)
    model.train()
    for module in model.modules():
        module.training = module is model.bbox_head
    with torch.no_grad():
        x = model.extract_feat(data['inputs'])
        metas = [sample.metainfo for sample in data['data_samples']]
        found = model._proposals(model.bbox_head(x), metas)
        model.bbox_head.training = False
        wanted = model.bbox_head.predict_by_feat(
            *model.bbox_head(x),
            batch_img_metas=metas,
            cfg=model.train_cfg['proposals'])
    for one, other in zip(found, wanted):
        assert len(one) == len(other) == 7
        assert torch.allclose(one.bboxes, other.bboxes, atol=1e-3)


def test_no_gradient_through_proposals(model):
    """The mask loss reaches the neck by its features alone."""
    model.train()
    losses = model(**_data(model), mode='loss')
    losses['loss_mask'].backward()
    assert all(p.grad is None for p in model.bbox_head.parameters())
    assert any(
        p.grad is not None and p.grad.abs().sum() > 0
        for p in model.roi_head.parameters())


def test_only_positive_boxes_are_segmented(model, monkeypatch):
    model.train()
    seen = []
    original = model.roi_head.mask_head.loss_and_target

    def spy(mask_preds, sampling_results, **kwargs):
        seen.extend(sampling_results)
        return original(mask_preds, sampling_results, **kwargs)

    monkeypatch.setattr(model.roi_head.mask_head, 'loss_and_target', spy)
    model(**_data(model, (3, 0)), mode='loss')
    first, second = seen
    # Ground truth boxes are among them; an image without objects has none.
    assert len(first.pos_priors) >= 3 and len(first.neg_priors) == 0
    assert len(second.pos_priors) == len(second.neg_priors) == 0


def test_level_rule(pytestconfig):
    """Equation 4: 223 px on P3, 225 and 447 on P4, 449 on P5."""
    path = pytestconfig.rootpath / (
        'configs/maskfcos/maskfcos_r50_fpn_2x_coco.py')
    register_all_modules(init_default_scope=False)
    cfg = Config.fromfile(path).model.roi_head.mask_roi_extractor
    init_default_scope('mmdet')
    extractor = MODELS.build(cfg)
    sides = torch.tensor([223., 225, 447, 449, 20, 1300])
    rois = torch.zeros(6, 5)
    rois[:, 3:] = sides[:, None]
    assert extractor.map_roi_levels(rois, 3).tolist() == [0, 1, 1, 2, 0, 2]


def test_mask_logits_begin_near_zero(model):
    assert model.roi_head.mask_head.conv_logits.weight.std() < 0.01
