import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from pycocotools import mask as mask_utils

from mmseghead.apis import draw_predictions


def encode(mask):
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(rle, counts=rle['counts'].decode())


@pytest.fixture
def world(tmp_path):
    """Three pictures of 40 x 64, one with a polygon and one with an RLE."""
    (tmp_path / 'val').mkdir()
    images, truths = [], []
    for number in (1, 2, 3):
        name = f'{number}.png'
        cv2.imwrite(
            str(tmp_path / 'val' / name), np.full((40, 64, 3), 90, np.uint8))
        images.append(dict(id=number, file_name=name, height=40, width=64))
    box = [10, 5, 30, 5, 30, 20, 10, 20]
    mask = np.zeros((40, 64), bool)
    mask[20:30, 40:60] = True
    for number, shape in ((1, [box]), (2, encode(mask))):
        truths.append(
            dict(
                id=number, image_id=number, category_id=7, iscrowd=0,
                area=200., bbox=[10, 5, 20, 15], segmentation=shape))
    annotations = dict(
        images=images,
        annotations=truths,
        categories=[dict(id=7, name='cat'), dict(id=9, name='owl')])
    (tmp_path / 'val.json').write_text(json.dumps(annotations))
    cfg = Config(
        dict(
            test_dataloader=dict(
                dataset=dict(
                    data_root=f'{tmp_path}/',
                    ann_file='val.json',
                    data_prefix=dict(img='val/')))))

    def results(**changes):
        entry = dict(
            image_id=2, category_id=9, score=0.8, segmentation=encode(mask))
        path = tmp_path / 'p.segm.json'
        path.write_text(json.dumps([dict(entry, **changes)]))
        return str(path)

    return cfg, results, tmp_path


def panels(path):
    picture = cv2.imread(str(path))[24:]
    width = (picture.shape[1] - 6) // 2
    return picture[:, :width], picture[:, width + 6:]


def tinted(panel):
    return (panel != 90).any(-1).mean()


def test_truth_left_and_predictions_right(world):
    cfg, results, folder = world
    written = draw_predictions(cfg, results(), str(folder / 'out'))
    assert [path.name for path in written] == ['1.png', '2.png', '3.png']
    left, right = panels(written[0])
    assert left.shape == (40 * 8, 64 * 8, 3)
    assert tinted(left) > 0.1 and tinted(right) == 0
    left, right = panels(written[1])
    assert tinted(left) > 0.07 and tinted(right) > 0.07
    left, right = panels(written[2])
    assert tinted(left) == tinted(right) == 0


def test_weak_predictions_are_left_out(world):
    cfg, results, folder = world
    written = draw_predictions(
        cfg, results(score=0.29), str(folder / 'out'), score_thr=0.3)
    assert tinted(panels(written[1])[1]) == 0


def test_some_of_the_images(world):
    cfg, results, folder = world
    written = draw_predictions(cfg, results(), str(folder / 'out'), num=2)
    assert [path.name for path in written] == ['1.png', '3.png']


def test_foreign_predictions_stop(world):
    cfg, results, folder = world
    with pytest.raises(ValueError, match=r'\[44\]'):
        draw_predictions(cfg, results(image_id=44), str(folder / 'out'))
    boxes = folder / 'p.bbox.json'
    boxes.write_text('[{"image_id": 1, "bbox": [0, 0, 1, 1]}]')
    with pytest.raises(ValueError, match='bbox.json'):
        draw_predictions(cfg, str(boxes), str(folder / 'out'))
    (folder / 'val' / '3.png').unlink()
    with pytest.raises(FileNotFoundError, match='3.png'):
        draw_predictions(cfg, results(), str(folder / 'out'))
