"""Samples drawn as the model gets them."""
import json
import random
import subprocess
import sys

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api

from mmseghead import apis
from mmseghead.apis.browse import (browse, build_dataset, choose_indices,
                                   read_sample, write_pictures, write_sheet)
from mmseghead.datasets import generate_shapes


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    """Pictures of 64 px; the first instance of each training image is a crowd.
    """
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    generate_shapes(folder, 4, 3, seed=5, image_size=64)
    path = folder / 'train.json'
    data = json.loads(path.read_text())
    seen = set()
    for annotation in data['annotations']:
        if annotation['image_id'] not in seen:
            annotation['iscrowd'] = 1
            seen.add(annotation['image_id'])
    path.write_text(json.dumps(data))
    return folder


def load(repository, data_root, name='mask_rcnn/mask-rcnn_quick_shapes.py'):
    return apis.load_config(
        str(repository / 'configs' / name), cfg_options={
            f'{split}_dataloader.dataset.data_root': f'{data_root}/'
            for split in ('train', 'val')})


@pytest.fixture
def config(repository, data_root):
    return load(repository, data_root)


def masks_of(data_root, split, image_id):
    """Return the masks of an image, crowds last, enlarged to 256 px."""
    data = json.loads((data_root / f'{split}.json').read_text())
    mine = [a for a in data['annotations'] if a['image_id'] == image_id]
    mine.sort(key=lambda annotation: annotation['iscrowd'])
    return [cv2.resize(mask_api.decode(a['segmentation']), (256, 256),
                       interpolation=cv2.INTER_NEAREST).astype(bool)
            for a in mine], sum(a['iscrowd'] for a in mine)


def iou(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_ground_truth_lies_on_the_image(config, data_root, split):
    """Also in validation, whose ground truth stays in original pixels."""
    dataset = build_dataset(config, split)
    flipped = 0
    for index in range(len(dataset)):
        sample = read_sample(dataset, index)
        assert sample.image.shape == (256, 256, 3)
        number = dataset.get_data_info(index)['img_id']
        masks, crowds = masks_of(data_root, split, number)
        assert sample.num_ignored == crowds == int(split == 'train')
        assert len(sample.masks) == len(masks) == len(sample.boxes)
        if 'flipped' in sample.title:
            flipped += 1
            masks = [mask[:, ::-1] for mask in masks]
        for got, expected, box in zip(sample.masks, masks, sample.boxes):
            if expected.sum() < 200:
                continue
            assert iou(got, expected) > 0.8
            rows, columns = np.nonzero(got)
            around = [columns.min(), rows.min(), columns.max() + 1,
                      rows.max() + 1]
            assert np.abs(box - around).max() < 9
        assert f'{len(masks) - crowds} instances' in sample.title
        assert sample.captions[-1].startswith('ignored ') == bool(crowds)
    assert 0 < flipped < len(dataset) if split == 'train' else flipped == 0


def test_draws_repeat_and_leave_no_trace(config):
    before = random.getstate(), np.random.get_state()[1].tolist()
    first = browse(config, num=3, draws=4)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    again = browse(config, num=3, draws=4)
    other = browse(config, num=3, draws=4, seed=50)
    assert first.keys() == again.keys() == other.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)
    for picture in first.values():
        assert picture.shape == (512 + 24, 4 * 512 + 3 * 6, 3)


def test_contours_in_place_of_masks(repository, data_root, config):
    polar = build_dataset(
        load(repository, data_root, 'polarmask/polarmask_quick_shapes.py'),
        'train')
    plain = build_dataset(config, 'train')
    for index in range(len(plain)):
        one, other = read_sample(plain, index), read_sample(polar, index)
        assert np.array_equal(one.image, other.image)
        kept = len(one.masks) - one.num_ignored
        for mask, filled in zip(one.masks[:kept], other.masks[:kept]):
            contours, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL,
                cv2.CHAIN_APPROX_NONE)
            # The largest part, its holes filled.
            largest = max(contours, key=cv2.contourArea)
            whole = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [largest], 1)
            assert iou(whole.astype(bool), filled) > 0.95


@pytest.mark.slow
def test_every_method_can_be_browsed(repository, data_root):
    # One config a method: they share its pipelines.
    names = {path.parent: str(path.relative_to(repository / 'configs'))
             for path in sorted(
                 repository.glob('configs/*/*_quick_shapes.py'))}
    assert len(names) >= 10
    for name in names.values():
        cfg = load(repository, data_root, name)
        for split in ('train', 'val'):
            (picture, ) = browse(cfg, split, num=1).values()
            assert picture.std() > 5, name


def test_choose_indices():
    assert choose_indices(10, None) == list(range(10))
    assert choose_indices(10, 3) in ([0, 4, 9], [0, 5, 9])
    assert choose_indices(3, 8) == [0, 1, 2]
    drawn = choose_indices(50, 8, random_seed=1)
    assert drawn == sorted(set(drawn)) and len(drawn) == 8
    assert drawn == choose_indices(50, 8, random_seed=1)
    assert drawn != choose_indices(50, 8, random_seed=2)
    with pytest.raises(ValueError, match='an int >= 1, got 0'):
        choose_indices(5, 0)


def test_mistakes_are_named(config):
    with pytest.raises(ValueError, match="must be one of .* got 'dev'"):
        browse(config, 'dev')
    with pytest.raises(ValueError, match='`draws` of browse .* got 0'):
        browse(config, draws=0)
    config.train_dataloader.dataset.pipeline.pop()
    with pytest.raises(ValueError, match='must pack its results'):
        browse(config, num=1)
    config.test_dataloader = None
    with pytest.raises(KeyError, match="no `test_dataloader`; it has .'train"):
        browse(config, 'test')
    config.val_dataloader.dataset.ann_file = 'gone.json'
    with pytest.raises(FileNotFoundError, match='gone.json'):
        browse(config, 'val')


def test_files(tmp_path):
    pictures = {f'{i}.png': np.full((20 + i, 30, 3), 50 * i, np.uint8)
                for i in range(5)}
    write_pictures(pictures, tmp_path / 'out')
    assert {p.name for p in (tmp_path / 'out').iterdir()} == set(pictures)
    assert np.array_equal(cv2.imread(str(tmp_path / 'out/3.png')),
                          pictures['3.png'])
    write_sheet(pictures, tmp_path / 'sheet.png', 3)
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (
        22 + 6 + 24, 3 * 30 + 2 * 6, 3)


def test_the_tool(repository, data_root, tmp_path):
    done = subprocess.run(
        [sys.executable, repository / 'tools/analysis_tools/browse_dataset.py',
         repository / 'configs/mask_rcnn/mask-rcnn_quick_shapes.py', '--num',
         '2', '--sheet', tmp_path / 'sheet.png', '--out', tmp_path / 'out',
         '--cfg-options',
         f'train_dataloader.dataset.data_root={data_root}/'],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'2 pictures in {tmp_path / "out"}\nwrote ' in done.stdout
    assert len(list((tmp_path / 'out').glob('*.png'))) == 2
    assert (tmp_path / 'sheet.png').is_file()
