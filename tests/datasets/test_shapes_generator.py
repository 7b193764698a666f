"""The shapes data set on disk."""
import hashlib
import json
import os

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from mmseghead.datasets import SHAPE_CLASSES, generate_shapes
from mmseghead.datasets import shapes_generator as generator
from mmseghead.datasets import shapes_scene
from mmseghead.datasets.coco_json import mask_to_annotation

# SHA-256 of pixels and annotations, recorded on x86-64 with numpy 2.2. They
# must not change without a new GENERATOR_VERSION: published numbers belong
# to these pictures. To record them:
#   python tests/datasets/test_shapes_generator.py
GOLDEN = {
    ('train', 0, 0, 256):
    'dfc30da07ff5832b3304a05b297fe0b65468ce45c7b96923e52dac734fc246d5',
    ('train', 599, 0, 256):
    '4be4937eb5ec4fa6827e9d85f6224af9eace229777d9d690464a803ed226587c',
    ('val', 149, 0, 256):
    '5d3407316ad50cb5e26ed3ddfad776a35dca45d99aa415d6d7b92462f2bc3821',
    ('val', 3, 12345, 128):
    '43c43aa5e5a591ce65d1754e51b5684d1c5cb4156e382402a711d9eb0eb10191',
}


def _fingerprint(split, index, seed, size):
    """Hash pixels and annotations; no file and no PNG encoder takes part."""
    scene = shapes_scene(split, index, seed, size)
    digest = hashlib.sha256(np.ascontiguousarray(scene.image).tobytes())
    for instance in scene.instances:
        fields = mask_to_annotation(instance.mask)
        digest.update(
            json.dumps([instance.label, fields], sort_keys=True).encode())
    return digest.hexdigest()


@pytest.mark.parametrize('key', list(GOLDEN), ids=str)
def test_pictures_are_the_published_ones(key):
    assert _fingerprint(*key) == GOLDEN[key], (
        'The pictures of the shapes data set have changed. If that is '
        'wanted, raise GENERATOR_VERSION and record new hashes with '
        '`python tests/datasets/test_shapes_generator.py`.')


@pytest.fixture(scope='module')
def small_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    assert generate_shapes(folder, 5, 3, seed=7, image_size=96)
    return folder


def test_layout_and_annotations(small_set):
    for split, count in (('train', 5), ('val', 3)):
        coco = COCO(small_set / f'{split}.json')
        assert [c['name'] for c in coco.dataset['categories']
                ] == list(SHAPE_CLASSES)
        assert len(coco.imgs) == count
        for image_id, image in coco.imgs.items():
            pixels = cv2.imread(str(small_set / split / image['file_name']))
            scene = shapes_scene(split, image_id - 1, seed=7, image_size=96)
            assert np.array_equal(pixels[..., ::-1], scene.image)
            annotations = coco.imgToAnns[image_id]
            assert len(annotations) == len(scene.instances)
            for annotation, instance in zip(annotations, scene.instances):
                mask = mask_api.decode(annotation['segmentation'])
                assert np.array_equal(mask.astype(bool), instance.mask)
                assert annotation['category_id'] == instance.label + 1
                assert annotation['area'] == instance.mask.sum()
                rows, cols = np.nonzero(instance.mask)
                x, y, w, h = annotation['bbox']
                assert (x, y) == (cols.min(), rows.min())
                assert (x + w, y + h) == (cols.max() + 1, rows.max() + 1)


def test_holes_are_kept():
    for index in range(40):
        scene = shapes_scene('train', index)
        for instance in scene.instances:
            if SHAPE_CLASSES[instance.label] != 'ring':
                continue
            rle = mask_to_annotation(instance.mask)['segmentation']
            mask = mask_api.decode(rle)
            contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP,
                                           cv2.CHAIN_APPROX_NONE)
            if len(contours) > 1:
                return
    pytest.fail('no ring with a hole in 40 pictures')


def test_second_call_keeps_the_set(small_set):
    before = {p: p.stat().st_mtime_ns for p in small_set.rglob('*')}
    assert not generate_shapes(small_set, 5, 3, seed=7, image_size=96)
    assert before == {p: p.stat().st_mtime_ns for p in small_set.rglob('*')}


def test_larger_set_starts_with_the_smaller(tmp_path):
    generate_shapes(tmp_path / 'a', 2, 1, image_size=64)
    generate_shapes(tmp_path / 'b', 4, 1, image_size=64)
    small = json.loads((tmp_path / 'a/train.json').read_text())
    large = json.loads((tmp_path / 'b/train.json').read_text())
    count = len(small['annotations'])
    assert large['annotations'][:count] == small['annotations']
    assert large['images'][:2] == small['images']


def _forget_an_image(folder):
    path = folder / 'train.json'
    content = json.loads(path.read_text())
    del content['images'][1:]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('damage', [
    _forget_an_image,
    lambda d: (d / 'train/000002.png').unlink(),
    lambda d: (d / 'train/000002.png').write_bytes(b''),
    lambda d: (d / 'val.json').unlink(),
    lambda d: (d / 'val.json').write_text('{"info": "mmseghead shapes"'),
])
def test_incomplete_set_is_rebuilt(tmp_path, damage):
    folder = tmp_path / 'shapes'
    generate_shapes(folder, 2, 1, image_size=48)
    damage(folder)
    assert generate_shapes(folder, 2, 1, image_size=48)
    assert not generate_shapes(folder, 2, 1, image_size=48)


def test_other_settings_replace_the_set(tmp_path):
    folder = tmp_path / 'shapes'
    generate_shapes(folder, 3, 1, image_size=48)
    assert generate_shapes(folder, 2, 1, seed=1, image_size=48)
    names = sorted(p.name for p in (folder / 'train').iterdir())
    assert names == ['000001.png', '000002.png']


def test_version_is_part_of_the_settings(tmp_path, monkeypatch):
    generate_shapes(tmp_path / 's', 1, 1, image_size=48)
    monkeypatch.setattr(generator, 'GENERATOR_VERSION', 10**6)
    assert generate_shapes(tmp_path / 's', 1, 1, image_size=48)


def test_interrupted_build_leaves_nothing(tmp_path):

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_shapes(tmp_path / 's', 3, 1, image_size=48, progress=stop)
    assert not list(tmp_path.iterdir())


def test_leftovers_of_killed_builds_go(tmp_path):
    old, new = tmp_path / '.s.part-old', tmp_path / '.s.part-new'
    old.mkdir()
    new.mkdir()
    os.utime(old, (1, 1))
    generate_shapes(tmp_path / 's', 1, 1, image_size=48)
    assert not old.exists() and new.exists()


def test_foreign_files_are_not_touched(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='thesis.tex'):
        generate_shapes(tmp_path, 1, 1)
    (tmp_path / 'thesis.tex').unlink()
    (tmp_path / 'train.json').write_text('{"images": []}')
    with pytest.raises(FileExistsError, match='train.json'):
        generate_shapes(tmp_path, 1, 1)


def test_link_stays_a_link(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'shapes').symlink_to(tmp_path / 'disk')
    generate_shapes(tmp_path / 'shapes', 1, 1, image_size=48)
    assert (tmp_path / 'shapes').is_symlink()
    assert (tmp_path / 'disk/train.json').is_file()


def test_progress_counts_all_pictures(tmp_path):
    calls = []
    generate_shapes(
        tmp_path / 's', 2, 1, image_size=48,
        progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize('name, value', [('num_train', 0), ('num_val', 0),
                                         ('seed', -1), ('image_size', 31),
                                         ('num_train', 2.0)])
def test_bad_arguments(tmp_path, name, value):
    with pytest.raises(ValueError, match=f'`{name}` of generate_shapes'):
        generate_shapes(tmp_path / 's', **{name: value})


if __name__ == '__main__':
    for golden in GOLDEN:
        print(f'    {golden}:\n    {_fingerprint(*golden)!r},')
