"""Predictions for images in memory."""
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmseghead import apis
from mmseghead.apis import predictor as module
from mmseghead.apis.predictor import Predictor, array_pipeline
from mmseghead.functional.mask_rle import EncodedMasks
from mmseghead.utils.mask_budget import mask_budget


@pytest.fixture(scope='module')
def weights(tiny_config, tmp_path_factory):
    """The tiny config, and random weights that find something."""
    cfg = apis.load_config(str(tiny_config))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(3)
    model = MODELS.build(cfg.model)
    path = tmp_path_factory.mktemp('weights') / 'random.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return cfg, str(path)


def image(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(autouse=True)
def _budget():
    with mask_budget(512):  # predictors set it
        yield


def test_sizes_and_batches(weights):
    """Results do not depend on what else is in a batch."""
    images = [image(60, 80), image(81, 47, 1), image(60, 80, 2),
              image(1, 1, 3)]
    results = [
        Predictor(*weights, batch_size=size)(images) for size in (1, 3)
    ]
    for picture, one, other in zip(images, *results):
        assert set(one.keys()) == {'bboxes', 'scores', 'labels', 'masks'}
        assert one.masks.shape == (len(one), *picture.shape[:2])
        assert one.masks.dtype == torch.bool
        assert torch.equal(one.labels, other.labels)
        assert torch.allclose(one.scores, other.scores, atol=1e-4)
    assert len(results[0][0])
    assert Predictor(*weights)([]) == []


def test_equals_a_test_of_the_runner(weights, tiny_shapes, tmp_path):
    """The same pictures from files and from memory."""
    import pickle

    import mmcv
    cfg, path = weights
    cfg = cfg.copy()
    cfg.work_dir = str(tmp_path)
    apis.set_outputs(cfg, out=str(tmp_path / 'out.pkl'))
    apis.test(cfg, path)
    dumped = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    for entry in dumped:
        found, = Predictor(*weights)([mmcv.imread(entry['img_path'])])
        assert torch.equal(found.scores, entry['pred_instances']['scores'])


def test_thresholds_and_budget(weights):
    cfg = weights[0].copy()
    everything, = Predictor(*weights)([image(64, 64)])
    middle = float(everything.scores.median())
    some, = Predictor(*weights, score_thr=middle)([image(64, 64)])
    assert 0 < len(some) < len(everything)
    assert (some.scores >= middle).all()
    cfg.mask_budget_mib = 0
    encoded, = Predictor(cfg, weights[1])([image(64, 64)])
    assert isinstance(encoded.masks, EncodedMasks)
    assert torch.equal(encoded.masks.to_tensor(), everything.masks)


def test_test_time_augmentation(weights):
    found, = Predictor(*weights, tta=True)([image(50, 70)])
    assert found.masks.shape[1:] == (50, 70)
    assert (found.scores[:-1] >= found.scores[1:]).all()


class Threshold:
    """Stands in for a model: bright areas are objects."""

    seen = ()

    def __call__(self, images):
        import cv2
        results = []
        self.seen = (*self.seen, *(i.shape[:2] for i in images))
        for picture in images:
            number, parts = cv2.connectedComponents(
                (picture[:, :, 0] > 127).astype(np.uint8))
            masks = torch.from_numpy(
                np.stack([parts == i for i in range(1, number)])
                if number > 1 else np.zeros((0, *parts.shape), bool))
            results.append(
                InstanceData(
                    masks=masks,
                    bboxes=torch.zeros(len(masks), 4),
                    labels=torch.zeros(len(masks), dtype=torch.long),
                    scores=torch.linspace(.9, .5, len(masks))))
        return results


@pytest.mark.parametrize('mib', [0, 512])
@pytest.mark.parametrize('tile, tiles', [(50, 15), (64, 8), (500, 1)])
def test_tiles_find_what_the_whole_shows(weights, tile, tiles, mib):
    cfg = weights[0].copy()
    cfg.mask_budget_mib = mib
    predictor = Predictor(cfg, weights[1], tile=tile, batch_size=2)
    model = predictor._predict = Threshold()
    picture = np.zeros((110, 170, 3), np.uint8)
    for top, left, bottom, right in ((5, 5, 20, 17), (30, 40, 90, 60),
                                     (40, 70, 55, 160), (100, 150, 110, 170)):
        picture[top:bottom, left:right] = 255
    found, = predictor([picture])
    wanted, = Threshold()([picture])
    assert len(model.seen) == tiles
    assert isinstance(found.masks, EncodedMasks) == (mib == 0 and tiles > 1)
    masks = torch.as_tensor(found.masks.numpy())
    assert {tuple(m.nonzero()[0].tolist()) for m in masks} == {
        tuple(m.nonzero()[0].tolist()) for m in wanted.masks}
    assert torch.equal(masks.any(0), wanted.masks.any(0))
    if tiles > 1:
        from mmdet.structures.mask import mask2bbox
        assert torch.equal(found.bboxes, mask2bbox(masks))


def test_tiles_need_masks(weights):
    predictor = Predictor(*weights, tile=32)
    boxes = InstanceData(scores=torch.ones(1))
    predictor._predict = lambda images: [boxes] * len(images)
    with pytest.raises(ValueError, match='predicts none'):
        predictor([image(64, 80)])


@pytest.mark.parametrize('wrong', [
    'a.png', np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8),
    np.zeros((4, 5, 3)), np.zeros((0, 5, 3), np.uint8)])
def test_wrong_images(weights, wrong):
    with pytest.raises(ValueError, match='uint8'):
        Predictor(*weights)([wrong])


@pytest.mark.parametrize('options', [
    dict(batch_size=0), dict(tile=0), dict(tile=9, overlap=1.)])
def test_wrong_options(weights, options):
    with pytest.raises(ValueError, match='must be'):
        Predictor(*weights, **options)


def test_wrong_checkpoints(weights, tmp_path):
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        Predictor(weights[0], 'gone.pth')
    path = tmp_path / 'other.pth'
    torch.save(dict(weight=torch.ones(3)), path)
    with pytest.raises(ValueError, match='another model'):
        Predictor(weights[0], str(path))


def test_array_pipelines_load_no_truth():
    load = dict(type='LoadImageFromFile', backend_args=None)
    truth = dict(type='mmdet.LoadAnnotations')
    pack = dict(type='PackDetInputs')
    steps = array_pipeline([load, truth, pack])
    assert [s['type'] for s in steps] == [
        'mmdet.LoadImageFromNDArray', 'PackDetInputs']
    assert load['type'] == 'LoadImageFromFile'
    steps = array_pipeline(
        [load, dict(type='TestTimeAug', transforms=[[pack], [truth]])])
    assert steps[1]['transforms'] == [[pack]]


def test_class_names(weights):
    assert Predictor(*weights).classes == tuple(weights[0].classes)
    cfg = apis.load_config(
        str(module.__file__).replace(
            'mmseghead/apis/predictor.py',
            'configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'))
    assert len(module.class_names(cfg)) == 80
