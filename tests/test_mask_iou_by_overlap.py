"""The tool's figures on a scene that can be counted by hand."""
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_util

TOOL = (Path(__file__).resolve().parents[1] /
        'tools/analysis_tools/mask_iou_by_overlap.py')
SIZE = (30, 50)


def rle(x, y, width, height):
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[y:y + height, x:x + width] = 1
    code = mask_util.encode(mask)
    return dict(size=list(SIZE), counts=code['counts'].decode())


def test_a_scene(tmp_path):
    # Two of class 7 overlap, and one of 9 the second; another one of 9 stands
    # apart; the last is not found.
    boxes = [(0, 0, 10, 20), (5, 0, 10, 20), (30, 2, 6, 12), (44, 20, 4, 9),
             (12, 0, 8, 20)]
    kinds = [7, 7, 9, 9, 9]
    truth = [dict(id=i + 1, image_id=1, category_id=kind, bbox=list(box),
                  area=box[2] * box[3], iscrowd=0, segmentation=rle(*box))
             for i, (box, kind) in enumerate(zip(boxes, kinds))]
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(dict(
        images=[dict(id=1, height=SIZE[0], width=SIZE[1])],
        annotations=truth, categories=[dict(id=7, name='a'),
                                       dict(id=9, name='b')])))
    xyxy = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], float)
    # Half of the first mask, the second's whole, a quarter of the third; a
    # weaker, perfect one of the third does not count, nor a wrong class.
    found = dict(
        bboxes=xyxy[[0, 1, 2, 2, 3, 4]],
        labels=np.array([0, 0, 1, 1, 0, 1]),
        scores=np.array([.9, .8, .7, .1, .9, .9]),
        masks=[rle(0, 0, 10, 10), rle(*boxes[1]), rle(30, 2, 3, 6),
               rle(*boxes[2]), rle(*boxes[3]), rle(*boxes[4])],
        places=np.array([[0, 1, 2, 0], [0, 1, 2, 2], [0, 2, 1, 0],
                         [1, 0, 0, 0], [1, 0, 0, 0], [2, 1, 2, 0]]))
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps([dict(img_id=1, pred_instances=found)]))
    done = subprocess.run([sys.executable, TOOL, file, path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {line[2:38].strip(): line[38:].split()
            for line in done.stdout.splitlines()[2:-1]}
    assert rows['all'] == ['5', '0.800', '0.688']
    assert rows['overlaps one of the same class'] == ['2', '1.000', '0.750']
    assert rows['box overlaps none'] == ['2', '0.500', '0.250']
    assert rows['overlaps one of another class only'] == [
        '1', '1.000', '1.000']
    assert '2 of 4 found objects share their point' in done.stdout
