"""Predictions written in the forms that others read."""
import contextlib
import json
import os
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmengine.structures import InstanceData

from mmseghead.functional.mask_rle import to_rles
from mmseghead.utils.files import atomic_write
from mmseghead.visualization.instances import draw_instances

FORMATS = ('picture', 'coco', 'labelme', 'png')
_LONG_SIDE_PX = 512  # smaller pictures are enlarged up to this


def captions(found: InstanceData, classes: Sequence[str]) -> List[str]:
    """Return class and score of each instance."""
    return [
        f'{classes[label]} {score:.2f}'
        for label, score in zip(found.labels.tolist(), found.scores.tolist())
    ]


def picture(image: np.ndarray, found: InstanceData, classes: Sequence[str],
            enlarge: bool = True) -> np.ndarray:
    """Draw predictions over an image.

    Args:
        image: (H, W, 3) uint8, BGR.
        found: ``masks``, ``labels`` and ``scores``.
        classes: Names; with one class only, they are left out.
        enlarge: Enlarge a small picture.
    """
    scale = max(_LONG_SIDE_PX // max(image.shape[:2]), 1) if enlarge else 1
    # Weak ones first: sure ones lie on top.
    found = found[found.scores.argsort(stable=True)]
    masks = found.masks
    if not hasattr(masks, 'rles'):
        masks = masks.numpy()
    texts = captions(found, classes) if len(classes) > 1 else None
    return draw_instances(image, masks, texts, scale)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG file.

    Raises:
        RuntimeError: if OpenCV cannot encode it.
    """
    ok, data = cv2.imencode('.png', pixels)
    if not ok:
        raise RuntimeError(f'OpenCV could not encode {path}.')
    with atomic_write(path, 'wb') as file:
        file.write(data.tobytes())


def write_labelme_file(path: Path, image: Path, size: Tuple[int, int],
                       found: InstanceData, classes: Sequence[str]) -> None:
    """Write an image's predictions for labelme.

    Args:
        path: The JSON file.
        image: The picture it is about.
        size: (H, W).
        found: ``masks``, ``labels`` and ``scores``.
        classes: Names.
    """
    from mmseghead.datasets.converters import write_labelme
    write_labelme(
        str(path), str(image), size, classes, to_rles(found.masks),
        found.labels.tolist(), scores=found.scores.tolist())


def write_png_file(path: Path, size: Tuple[int, int], found: InstanceData,
                   classes: Sequence[str]) -> None:
    """Write an image's predictions as a 16-bit PNG of instance numbers.

    Args:
        path: The PNG file; a JSON file beside it names classes and scores.
        size: (H, W).
        found: ``masks``, ``labels`` and ``scores``. Of masks that overlap,
            the surer one is on top.
        classes: Names.
    """
    from mmseghead.datasets.converters import write_png_masks
    found = found[found.scores.argsort(stable=True)]
    write_png_masks(
        str(path), size, classes, to_rles(found.masks), found.labels.tolist(),
        scores=found.scores.tolist())


class CocoStream:
    """A list of COCO results that grows with each image.

    Args:
        file: Where it goes; see `coco_stream`.
    """

    def __init__(self, file: IO) -> None:
        self._file = file
        self._number = 0
        self.images: List[Dict[str, Any]] = []

    def add(self, file_name: str, size: Tuple[int, int],
            found: InstanceData) -> None:
        """Append an image's predictions.

        Args:
            file_name: What it is called in ``images``.
            size: (H, W).
            found: ``masks``, ``labels``, ``scores`` and ``bboxes``.
        """
        image_id = len(self.images) + 1
        self.images.append(
            dict(id=image_id, file_name=file_name, height=size[0],
                 width=size[1]))
        rles = to_rles(found.masks)
        for rle, label, score, box in zip(rles, found.labels.tolist(),
                                          found.scores.tolist(),
                                          found.bboxes.tolist()):
            entry = dict(
                image_id=image_id,
                category_id=label + 1,
                score=round(score, 6),
                bbox=[
                    round(v, 2)
                    for v in (*box[:2], box[2] - box[0], box[3] - box[1])
                ],
                segmentation=dict(
                    size=[int(side) for side in rle['size']],
                    counts=rle['counts'].decode('ascii')))
            self._file.write(',\n' if self._number else '\n')
            self._file.write(json.dumps(entry))
            self._number += 1


@contextlib.contextmanager
def coco_stream(folder: Path, classes: Sequence[str]) -> Iterator[CocoStream]:
    """Write ``predictions.json`` while predictions are made.

    It is a list of COCO results; ``images.json`` beside it, in COCO's form
    too, says which image and class the numbers mean. Both appear when the
    block ends, complete; if it ends in an error, with what came before it.

    Args:
        folder: Where the files go.
        classes: Names; class i is category i + 1.
    """
    problem: Optional[BaseException] = None
    with atomic_write(folder / 'predictions.json') as file:
        file.write('[')
        stream = CocoStream(file)
        try:
            yield stream
        except BaseException as error:  # also Ctrl-C: keep what there is
            problem = error
        file.write('\n]\n')
    categories = [
        dict(id=i, name=name) for i, name in enumerate(classes, 1)
    ]
    with atomic_write(folder / 'images.json') as file:
        json.dump(dict(images=stream.images, categories=categories,
                       annotations=[]), file, indent=1)
    if problem is not None:
        raise problem


@contextlib.contextmanager
def video_file(path: Path, fps: float,
               size: Tuple[int, int]) -> Iterator[cv2.VideoWriter]:
    """Write an MP4 video that appears when the block ends.

    Args:
        path: The file.
        fps: Frames a second.
        size: (H, W) of the frames.

    Raises:
        RuntimeError: if OpenCV cannot write videos here.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # OpenCV tells the format by the ending.
    temporary = path.with_name(f'.{path.stem}.tmp{path.suffix}')
    writer = cv2.VideoWriter(
        str(temporary), cv2.VideoWriter_fourcc(*'mp4v'), fps, size[::-1])
    if not writer.isOpened():
        raise RuntimeError(f'OpenCV cannot write the video {path} here.')
    try:
        yield writer
        writer.release()
        os.replace(temporary, path)
    finally:
        writer.release()
        temporary.unlink(missing_ok=True)
