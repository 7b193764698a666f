"""Users' files become predictions in all forms; bad ones stop nothing."""
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

from mmseghead.apis.prediction_files import coco_stream, video_file
from mmseghead.apis.visualize import visualize
from mmseghead.functional.mask_rle import EncodedMasks, to_rles

ROOT = Path(__file__).resolve().parents[2]


class Bright:
    """Stands in for a predictor: every bright colour is an object."""

    classes = ('red', 'green')

    def __init__(self, batch_size=2, encoded=False):
        self.batch_size = batch_size
        self.encoded = encoded

    def __call__(self, images):
        results = []
        for image in images:
            if image.shape[0] == 13:
                raise RuntimeError('out of memory')
            masks = torch.from_numpy(
                np.stack([image[:, :, 2] > 127, image[:, :, 1] > 127]))
            rows = masks.any((1, 2))
            masks = masks[rows]
            found = InstanceData(
                bboxes=torch.tensor([[1., 2., 7., 9.]]).repeat(len(masks), 1),
                labels=torch.tensor([0, 1])[rows],
                scores=torch.tensor([.6, .8])[rows],
                masks=masks)
            if self.encoded:
                found.masks = EncodedMasks(to_rles(masks), masks.shape[1:])
            results.append(found)
        return results


def picture(height=30, width=44, objects=2):
    image = np.full((height, width, 3), 40, np.uint8)
    if objects > 0:
        image[4:12, 5:20] = 0, 0, 255
    if objects > 1:
        image[15:25, 11:40] = 0, 255, 0
    return image


@pytest.fixture
def folder(tmp_path):
    """Pictures and videos, good and bad."""
    where = tmp_path / 'in'
    (where / 'deep').mkdir(parents=True)
    cv2.imwrite(str(where / 'a.png'), picture())
    cv2.imwrite(str(where / 'a.bmp'), picture(20, 33, 1))
    cv2.imwrite(str(where / 'deep' / 'b.png'), picture(50, 21, 0))
    cv2.imwrite(str(where / 'huge.png'), picture(13))
    (where / 'broken.png').write_bytes((where / 'a.png').read_bytes()[:60])
    (where / 'broken.mp4').write_bytes(b'no video')
    with video_file(where / 'clip.mp4', 5, (64, 96)) as writer:
        for _ in range(5):
            writer.write(picture(64, 96))
    return where


def written(out):
    return sorted(
        str(path.relative_to(out)) for path in out.rglob('*')
        if path.is_file())


@pytest.mark.parametrize('batch_size, encoded', [(1, False), (3, True)])
def test_folder(folder, tmp_path, batch_size, encoded):
    out = tmp_path / 'out'
    report = visualize(
        Bright(batch_size, encoded), str(folder), str(out), progress=False)
    assert written(out) == [
        'images.json', 'pictures/a_bmp.png', 'pictures/a_png.png',
        'pictures/deep/b.png', 'predictions.json', 'videos/clip.mp4']
    assert (report.images, report.instances) == (8, 1 + 2 + 0 + 5 * 2)
    failures = {f.path.name: f.reason for f in report.failures}
    assert set(failures) == {'broken.png', 'broken.mp4', 'huge.png'}
    assert 'out of memory' in failures['huge.png']
    assert all(str(folder) in reason for reason in failures.values())
    check_coco(out, folder)
    drawn = cv2.imread(str(out / 'pictures/a_png.png'))
    assert drawn.shape == (30 * 11, 44 * 11, 3)
    assert (drawn != 40).any(2).mean() > 0.2


def check_coco(out, folder):
    truth = COCO(str(out / 'images.json'))
    names = [truth.imgs[i]['file_name'] for i in sorted(truth.imgs)]
    assert names[:3] == [str(folder / 'a.bmp'), str(folder / 'a.png'),
                         f'{folder}/clip.mp4#0']
    found = truth.loadRes(str(out / 'predictions.json'))
    entries = found.loadAnns(found.getAnnIds(imgIds=2))
    assert [e['category_id'] for e in entries] == [1, 2]
    assert [e['score'] for e in entries] == [.6, .8]
    assert truth.cats[2]['name'] == 'green'
    raw = json.loads((out / 'predictions.json').read_text())[1]
    assert raw['bbox'] == [1, 2, 6, 7]
    mask = mask_util.decode(raw['segmentation']).astype(bool)
    assert np.array_equal(mask, picture()[:, :, 2] > 127)


def test_videos_have_all_frames(folder, tmp_path):
    visualize(Bright(2), str(folder / 'clip.mp4'), str(tmp_path / 'out'),
              ['picture'], progress=False)
    video = cv2.VideoCapture(str(tmp_path / 'out/videos/clip.mp4'))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == 5 and video.get(cv2.CAP_PROP_FPS) == 5
    assert written(tmp_path / 'out') == ['videos/clip.mp4']


def test_labelme_and_png(folder, tmp_path):
    converters = pytest.importorskip('mmseghead.datasets.converters')
    if not hasattr(converters, 'write_labelme'):
        pytest.skip('the writers are not there yet')
    visualize(Bright(), str(folder / '*.[pb][nm][gp]'), str(tmp_path / 'out'),
              ['labelme', 'png'], progress=False)
    content = json.loads((tmp_path / 'out/labelme/a_png.json').read_text())
    assert [s['label'] for s in content['shapes']] == ['red', 'green']
    found = (tmp_path / 'out/labelme' / content['imagePath']).resolve()
    assert found == (folder / 'a.png').resolve()
    numbers = cv2.imread(
        str(tmp_path / 'out/png/a_png.png'), cv2.IMREAD_UNCHANGED)
    assert numbers.dtype == np.uint16
    # By rising score: the surer one would be on top.
    assert np.array_equal(numbers == 1, picture()[:, :, 2] > 127)
    assert np.array_equal(numbers == 2, picture()[:, :, 1] > 127)


def test_names_never_collide(tmp_path):
    for name in ('one/x.png', 'two/x.png', 'one/y.v2.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture())
    visualize(Bright(), f'{tmp_path}/*/*.png', str(tmp_path / 'out'),
              ['picture'], progress=False)
    assert len(written(tmp_path / 'out')) == 3


def test_errors(folder, tmp_path):
    with pytest.raises(ValueError, match='`formats`'):
        visualize(Bright(), str(folder), str(tmp_path / 'o'), ['jpeg'])
    with pytest.raises(FileNotFoundError, match='No images'):
        visualize(Bright(), str(tmp_path / 'gone'), str(tmp_path / 'o'))
    assert not (tmp_path / 'o').exists()

    class Boxes(Bright):

        def __call__(self, images):
            return [InstanceData(scores=torch.ones(1)) for _ in images]

    with pytest.raises(ValueError, match='predicts none'):
        visualize(Boxes(), str(folder), str(tmp_path / 'o'), progress=False)


def test_an_interruption_keeps_what_there_is(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with coco_stream(tmp_path, Bright.classes) as stream:
            stream.add('a.png', (30, 44), Bright()([picture()])[0])
            assert not (tmp_path / 'predictions.json').exists()
            raise KeyboardInterrupt
    assert len(json.loads((tmp_path / 'predictions.json').read_text())) == 2
    assert len(json.loads((tmp_path / 'images.json').read_text())['images'])
    assert written(tmp_path) == ['images.json', 'predictions.json']


def test_nothing_is_a_list_too(tmp_path):
    with coco_stream(tmp_path, ('a', )):
        pass
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []


@pytest.mark.slow
def test_tool(tiny_config, tmp_path):
    """One bad file: the others' results, and exit status 1."""
    from mmengine.registry import MODELS, init_default_scope

    from mmseghead import apis
    cfg = apis.load_config(str(tiny_config))
    init_default_scope(cfg.default_scope)
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / 'w.pth')
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in/a.png'), picture())
    (tmp_path / 'in/b.png').write_text('no image')
    done = subprocess.run([
        sys.executable, ROOT / 'tools/visualize.py', tiny_config,
        tmp_path / 'w.pth', tmp_path / 'in', '--out', tmp_path / 'out',
        '--device', 'cpu', '--tile', '32', '--tta', '--score-thr', '0'
    ], capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=ROOT))
    assert done.returncode == 1, done.stderr[-2000:]
    assert 'b.png is no image' in done.stderr
    assert 'in 1 images' in done.stdout
    assert written(tmp_path / 'out') == [
        'images.json', 'pictures/a.png', 'predictions.json']
