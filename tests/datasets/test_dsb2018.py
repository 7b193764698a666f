"""Conversion of the Data Science Bowl's folders."""
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api

from mmseghead.datasets import NucleiDataset
from mmseghead.datasets.converters import convert_dsb2018
from mmseghead.datasets.converters.dsb2018 import split_of
from mmseghead.testing.paths import shared_data


def _write_image(source, image_id, pixels, masks):
    (source / image_id / 'images').mkdir(parents=True)
    (source / image_id / 'masks').mkdir()
    cv2.imwrite(str(source / image_id / f'images/{image_id}.png'), pixels)
    for index, mask in enumerate(masks):
        cv2.imwrite(
            str(source / image_id / f'masks/{index}.png'),
            mask.astype(np.uint8) * 255)


def _fill(source, count=12, seed=0):
    """Write ``count`` images with 1 to 4 disjoint masks; return the masks."""
    rng = np.random.default_rng(seed)
    written = {}
    for index in range(count):
        shape = (20 + index, 33)
        masks = []
        for k in range(int(rng.integers(1, 5))):
            mask = np.zeros(shape, dtype=bool)
            mask[3:12, 8 * k + 1:8 * k + 6] = True
            mask[5, 8 * k + 3] = False  # a hole
            masks.append(mask)
        # The original pictures have an alpha channel.
        pixels = rng.integers(0, 255, (*shape, 4), dtype=np.uint8)
        _write_image(source, f'id{index}', pixels, masks)
        written[f'id{index}'] = pixels, masks
    return written


def test_every_image_and_mask_arrives(tmp_path):
    written = _fill(tmp_path / 'stage1')
    calls = []
    report = convert_dsb2018(
        tmp_path / 'stage1',
        tmp_path / 'nuclei',
        val_percent=40,
        progress=lambda *call: calls.append(call))
    assert calls == [(i, 12) for i in range(1, 13)]
    seen = {}
    for split in ('train', 'val'):
        content = json.loads((tmp_path / f'nuclei/{split}.json').read_text())
        assert content['categories'] == [dict(id=1, name='nucleus')]
        assert report.images[split] == len(content['images']) > 0
        assert report.instances[split] == len(content['annotations'])
        for image in content['images']:
            name = image['file_name'][:-len('.png')]
            assert split == split_of(name, 40)
            seen[name] = split
            pixels, masks = written[name]
            copy = cv2.imread(
                str(tmp_path / f'nuclei/{split}/{image["file_name"]}'),
                cv2.IMREAD_UNCHANGED)
            assert np.array_equal(copy, pixels[..., :3])
            found = [
                mask_api.decode(a['segmentation']).astype(bool)
                for a in content['annotations']
                if a['image_id'] == image['id']
            ]
            assert len(found) == len(masks)
            assert all(map(np.array_equal, found, masks))
    assert set(seen) == set(written)
    assert report.empty_masks == [] and report.overlaps == {}
    dataset = NucleiDataset(
        data_root=str(tmp_path / 'nuclei'),
        ann_file='val.json',
        data_prefix=dict(img='val/'))
    assert len(dataset) == report.images['val']


def test_split_is_that_of_the_id():
    """Golden values: the split of published numbers must not move."""
    ids = [f'nucleus-{i}' for i in range(2000)]
    share = sum(split_of(i, 25) == 'val' for i in ids) / len(ids)
    assert 0.22 < share < 0.28
    golden = [split_of(i, 25) for i in ids[:8]]
    assert [i for i, s in enumerate(golden) if s == 'val'] == [4, 7]


def test_oddities_are_reported(tmp_path):
    _fill(tmp_path / 's')
    overlapping = np.zeros((15, 18), dtype=bool)
    overlapping[2:8, 3:9] = True
    masks = [overlapping, np.roll(overlapping, 4, axis=0), overlapping & False]
    _write_image(tmp_path / 's', 'odd', np.zeros((15, 18, 3), np.uint8), masks)
    report = convert_dsb2018(tmp_path / 's', tmp_path / 'out', 40)
    assert report.overlaps == {'odd': 2 * 6}
    assert [Path(f).name for f in report.empty_masks] == ['2.png']
    split = split_of('odd', 40)
    content = json.loads((tmp_path / f'out/{split}.json').read_text())
    ids = {i['file_name']: i['id'] for i in content['images']}
    areas = [
        a['area'] for a in content['annotations']
        if a['image_id'] == ids['odd.png']
    ]
    assert areas == [36, 36]


def _other_size(folder):
    cv2.imwrite(str(folder / 'masks/0.png'), np.full((9, 7), 255, np.uint8))


@pytest.mark.parametrize('damage, error, match', [
    (_other_size, ValueError, r'id3/masks/0.png has \(9, 7\)'),
    (lambda f: (f / 'masks/0.png').write_bytes(b'\x89PNG'), ValueError,
     'id3/masks/0.png cannot be read'),
    (lambda f: (f / 'masks/0.png').write_bytes(b''), ValueError,
     'id3/masks/0.png cannot be read'),
    (lambda f: (f / 'images/id3.png').unlink(), FileNotFoundError,
     'id3/images/id3.png does not exist'),
    (lambda f: [m.unlink() for m in (f / 'masks').iterdir()],
     FileNotFoundError, 'id3/masks holds no masks'),
])
def test_bad_files_are_named_and_nothing_is_left(tmp_path, damage, error,
                                                 match):
    _fill(tmp_path / 'source/s')
    damage(tmp_path / 'source/s/id3')
    with pytest.raises(error, match=match):
        convert_dsb2018(tmp_path / 'source/s', tmp_path / 'out/nuclei', 40)
    assert not list((tmp_path / 'out').iterdir())


def test_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match='`source`.*stage1_train'):
        convert_dsb2018(tmp_path, tmp_path / 'out')
    _fill(tmp_path / 's', 1)
    with pytest.raises(ValueError, match='`val_percent`'):
        convert_dsb2018(tmp_path / 's', tmp_path / 'out', 0)
    with pytest.raises(ValueError, match='it holds only 1 images'):
        convert_dsb2018(tmp_path / 's', tmp_path / 'out')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/x').touch()
    with pytest.raises(FileExistsError, match='must be new or empty'):
        convert_dsb2018(tmp_path / 's', tmp_path / 'full')


def test_real_nuclei_make_the_round_trip(tmp_path):
    """Unpack real annotations into the bowl's layout and convert back."""
    root = shared_data('nuclei')
    if root is None:
        pytest.skip('shared/data/nuclei is absent')
    truth = json.loads((root / 'val.json').read_text())
    areas = {}
    for image in truth['images'][:10]:
        found = [
            a for a in truth['annotations'] if a['image_id'] == image['id']
        ]
        areas[image['source']] = sorted(a['area'] for a in found)
        _write_image(tmp_path / 's', image['source'],
                     cv2.imread(str(root / 'val' / image['file_name'])),
                     [mask_api.decode(a['segmentation']) for a in found])
    convert_dsb2018(tmp_path / 's', tmp_path / 'out', 50)
    converted = {}
    for split in ('train', 'val'):
        content = json.loads((tmp_path / f'out/{split}.json').read_text())
        for image in content['images']:
            converted[image['file_name'][:-len('.png')]] = sorted(
                a['area'] for a in content['annotations']
                if a['image_id'] == image['id'])
    assert converted == areas


def test_tool_reports(tmp_path):
    _fill(tmp_path / 's')
    tool = Path(__file__).parents[2] / 'tools/dataset_converters'
    done = subprocess.run(
        [
            sys.executable, tool / 'dsb2018_to_coco.py', tmp_path / 's',
            '--out-dir', tmp_path / 'out', '--val-percent', '40'
        ],
        capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr
    assert 'train: ' in done.stdout and '12/12' in done.stderr
