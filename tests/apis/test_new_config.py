"""Configs for a user's own data are ready to train, for every method."""
import json

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmseghead.apis.cost import build_model
from mmseghead.apis.data_split import split_coco
from mmseghead.apis.new_config import (DataSource, NewConfigOptions,
                                       find_config, new_config)
from mmseghead.apis.preflight import preflight
from mmseghead.apis.train import load_config
from mmseghead.testing import shared_data, without_pretrained

NONE = NewConfigOptions(load_from='none')


@pytest.fixture(scope='module')
def source(tiny_shapes):
    return DataSource(tiny_shapes / 'train.json', tiny_shapes / 'train')


def _methods(repository):
    names = sorted(
        path.stem for path in repository.glob('configs/*/*_quick_nuclei.py'))
    return names


def _errors(found):
    return [item for item in found if item.severity == 'error']


def _one_loss(cfg):
    """Train on the first batch that the config's own loader gives."""
    cfg = without_pretrained(cfg)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        model = build_model(cfg).train()
        data = model.data_preprocessor(next(iter(loader)), True)
        total, parts = model.parse_losses(model(**data, mode='loss'))
    total.backward()
    return float(total.detach())


def _check_all(repository, source, tmp_path, val=None):
    options = NewConfigOptions(
        batch_size=2, image_size=(128, 96), load_from='none')
    for name in _methods(repository):
        made = new_config(name, source, tmp_path / f'{name}.py', val, options)
        cfg = load_config(str(made.path))
        assert not _errors(preflight(cfg, images=3, memory=False)), name
        assert torch.isfinite(torch.tensor(_one_loss(cfg))), name


def _few(source, folder, number=12):
    """Keep the first images of a data set."""
    content = json.loads(source.ann_file.read_text())
    content['images'] = content['images'][:number]
    kept = {image['id'] for image in content['images']}
    content['annotations'] = [
        a for a in content['annotations'] if a['image_id'] in kept
    ]
    path = folder / f'few_{source.ann_file.stem}.json'
    path.write_text(json.dumps(content))
    return DataSource(path, source.images)


@pytest.mark.slow
def test_every_method_on_coco(repository, tmp_path):
    root = shared_data('coco_mini')
    source = _few(DataSource(root / 'train.json', root / 'train'), tmp_path)
    _check_all(repository, source, tmp_path)


@pytest.mark.slow
def test_every_method_on_nuclei(repository, tmp_path):
    root = shared_data('nuclei')
    _check_all(
        repository,
        _few(DataSource(root / 'train.json', root / 'train'), tmp_path),
        tmp_path,
        _few(DataSource(root / 'val.json', root / 'val'), tmp_path))


def test_methods_are_all_there(repository):
    assert len(_methods(repository)) >= 15


def test_coco_config(source, tmp_path):
    made = new_config('mask-rcnn_r50_fpn_1x_coco', source, tmp_path / 'mine.py',
                      options=NONE)
    cfg = load_config(str(made.path))
    assert cfg.classes == ('disk', 'box', 'star', 'gear', 'ring', 'crescent')
    assert cfg.model.roi_head.mask_head.num_classes == 6
    assert cfg.train_dataloader.dataset.type == 'mmseghead.InstanceDataset'
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.optim_wrapper.optimizer.lr == 0.0025
    assert cfg.train_cfg == dict(
        type='IterBasedTrainLoop', max_iters=8000, val_interval=800)
    scales = [step.scale for step in cfg.train_dataloader.dataset.pipeline
              if 'scale' in step]
    assert scales == [(64, 64)]
    assert 'load_from' not in made.path.read_text()
    assert not _errors(preflight(cfg, memory=False))


def test_random_sizes_keep_their_spread(source, tmp_path):
    made = new_config(
        'solov2_r101-dcn_fpn_ms-3x_coco',
        source,
        tmp_path / 'mine.py',
        options=NewConfigOptions(image_size=(320, 256), load_from='none'))
    cfg = load_config(str(made.path))
    steps = [step for step in cfg.train_dataloader.dataset.pipeline
             if step.type.endswith('RandomChoiceResize')]
    assert steps[0].scales[0] == (320, 256)
    assert steps[0].scales[-1] == (320 * 640 // 800, 256 * 640 // 800)


def test_split_is_written_and_complete(source, tmp_path):
    new_config('solo_quick_shapes', source, tmp_path / 'a.py', options=NONE)
    whole = json.loads(source.ann_file.read_text())
    parts = [json.loads((tmp_path / f'a_{mode}.json').read_text())
             for mode in ('train', 'val')]
    for key in ('images', 'annotations'):
        ids = [item['id'] for part in parts for item in part[key]]
        assert sorted(ids) == sorted(item['id'] for item in whole[key])
    for part in parts:
        known = {image['id'] for image in part['images']}
        assert {a['image_id'] for a in part['annotations']} <= known
        assert part['categories'] == whole['categories'] and known


@pytest.mark.parametrize('number, percent', [(2, 1), (3, 99), (57, 20)])
def test_split_leaves_none_empty_and_moves_none(number, percent):

    def data(count):
        return dict(
            images=[dict(id=i, file_name=f'{i}.png') for i in range(count)],
            annotations=[dict(id=i, image_id=i) for i in range(count)],
            categories=[])

    train, val = split_coco(data(number), percent)
    assert train['images'] and val['images']
    assert len(train['images']) + len(val['images']) == number
    if number > 50:
        more = {i['id'] for i in split_coco(data(number + 9), percent)[1]
                ['images']}
        assert {i['id'] for i in val['images']} <= more
        assert 2 <= len(val['images']) <= 25
    with pytest.raises(ValueError, match='At least two images'):
        split_coco(data(1), percent)


def test_errors_say_what_to_do(source, tmp_path):
    with pytest.raises(KeyError, match='mask-rcnn_quick_nuclei'):
        find_config('mask-rcnn_quick_nucle')
    taken = tmp_path / 'taken.py'
    taken.write_text('')
    with pytest.raises(FileExistsError, match='taken.py exists'):
        new_config('solo_quick_shapes', source, taken)
    with pytest.raises(ValueError, match='must end in .py'):
        new_config('solo_quick_shapes', source, tmp_path / 'a.json')
    with pytest.raises(FileNotFoundError, match='no image folder'):
        new_config('solo_quick_shapes',
                   DataSource(source.ann_file, tmp_path / 'no'),
                   tmp_path / 'a.py')
    other = json.loads(source.ann_file.read_text())
    other['categories'].reverse()
    swapped = tmp_path / 'swapped.json'
    swapped.write_text(json.dumps(other))
    with pytest.raises(ValueError, match='same categories in one order'):
        new_config('solo_quick_shapes', source, tmp_path / 'a.py',
                   DataSource(swapped, source.images))
    assert not list(tmp_path.glob('a*'))
    for wrong in (dict(batch_size=0), dict(image_size=(8, 90)),
                  dict(epochs=0), dict(val_percent=0)):
        with pytest.raises(ValueError, match=f'`{next(iter(wrong))}` must'):
            NewConfigOptions(**wrong)
