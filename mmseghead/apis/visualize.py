"""Predictions for a user's own images and videos."""
import contextlib
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
from mmengine.structures import InstanceData
from tqdm import tqdm

from .prediction_files import (FORMATS, CocoStream, coco_stream, picture,
                               video_file, write_labelme_file, write_picture,
                               write_png_file)
from .predictor import Predictor
from .read_image import find_inputs, is_video, read_image

_DEFAULT_FPS = 25.


class Failure(NamedTuple):
    """A file without predictions, or without some of them."""

    path: Path
    reason: str


class VisualizeReport(NamedTuple):
    """What became of the inputs."""

    images: int  #: images and frames with predictions
    instances: int
    failures: List[Failure]
    notes: List[str]


def visualize(predictor: Predictor,
              where: str,
              out_dir: str,
              formats: Sequence[str] = ('picture', 'coco'),
              progress: bool = True) -> VisualizeReport:
    """Predict for images and videos, and write the results.

    Writes below ``out_dir``, as ``formats`` ask for: ``pictures/*.png`` and
    ``videos/*.mp4`` with masks drawn over them, ``predictions.json`` (COCO
    results) with ``images.json``, ``labelme/*.json``, and ``png/*.png`` with
    the number of the instance as pixel value. Folders below an input folder
    are kept. Frames of videos are in pictures and COCO results only.

    A file that cannot be read or predicted is left out and reported; the
    others are not affected.

    Args:
        predictor: The model, with masks.
        where: See ``find_inputs``.
        out_dir: Folder for the results.
        formats: Some of ``FORMATS``.
        progress: Show a progress bar.

    Raises:
        FileNotFoundError: if there are no images.
        ValueError: if a format is unknown.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f'`formats` must be some of {FORMATS}, got '
                         f'{tuple(formats)}.')
    inputs = find_inputs(where)
    base = Path(where) if Path(where).is_dir() else None
    job = _Job(predictor, Path(out_dir), tuple(formats),
               _names(inputs, base))
    with contextlib.ExitStack() as stack:
        if 'coco' in formats:
            job.stream = stack.enter_context(
                coco_stream(job.out_dir, predictor.classes))
        bar = stack.enter_context(
            tqdm(total=len(inputs), unit='file', disable=not progress))
        for batch in _batches(inputs, predictor.batch_size):
            if is_video(batch[0]):
                try:
                    job.do_video(batch[0], progress)
                except (RuntimeError, MemoryError) as error:
                    job.failures.append(
                        Failure(batch[0], f'{batch[0]}: {error}'))
            else:
                job.do_images(batch)
            bar.update(len(batch))
    return VisualizeReport(job.images, job.instances, job.failures, job.notes)


def _names(inputs: Sequence[Path], base: Path) -> Dict[Path, Path]:
    """Return what each input's results are called, without ending."""
    names = {
        path: path.relative_to(base) if base else Path(path.name)
        for path in inputs
    }
    counts = Counter(name.with_suffix('') for name in names.values())
    taken: Counter = Counter()
    result = {}
    for path, name in names.items():
        short = name.with_suffix('')
        if counts[short] > 1:  # a.jpg and a.png
            short = name.with_name(name.name.replace('.', '_'))
        taken[short] += 1
        if taken[short] > 1:  # of several folders, by a pattern
            short = short.with_name(f'{short.name}_{taken[short]}')
        result[path] = short
    return result


def _batches(inputs: Sequence[Path], size: int) -> Iterator[List[Path]]:
    """Yield up to ``size`` images, or one video, at a time."""
    batch: List[Path] = []
    for path in inputs:
        if is_video(path):
            if batch:
                yield batch
            yield [path]
            batch = []
            continue
        batch.append(path)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Job:
    """One call of `visualize`: where results go and what has happened."""

    def __init__(self, predictor: Predictor, out_dir: Path,
                 formats: Tuple[str, ...], names: Dict[Path, Path]) -> None:
        self.predictor = predictor
        self.out_dir = out_dir
        self.formats = formats
        self.names = names
        self.stream: CocoStream = None
        self.images = self.instances = 0
        self.failures: List[Failure] = []
        self.notes: List[str] = []

    def do_images(self, paths: Sequence[Path]) -> None:
        """Predict and write a few images."""
        read = []
        for path in paths:
            try:
                image, note = read_image(path)
            except ValueError as error:
                self.failures.append(Failure(path, str(error)))
                continue
            if note:
                self.notes.append(note)
            read.append((path, image))
        found = self._predict([image for _, image in read])
        for (path, image), instances in zip(read, found):
            if isinstance(instances, Exception):
                self.failures.append(
                    Failure(path, f'{path}: the model failed: {instances}'))
            else:
                self._write(path, image, instances)

    def _predict(self, images: Sequence[np.ndarray]) -> list:
        """Return predictions, or the error in their place."""
        try:
            found = self.predictor(images) if images else []
            if any('masks' not in item for item in found):
                raise ValueError('visualize draws masks, and the model '
                                 'predicts none.')
            return found
        except (RuntimeError, MemoryError) as error:
            if len(images) == 1:
                return [error]
        # Too much together, or one of them is to blame.
        return [self._predict([image])[0] for image in images]

    def _write(self, path: Path, image: np.ndarray,
               found: InstanceData) -> None:
        name, size = self.names[path], image.shape[:2]
        classes = self.predictor.classes
        if 'picture' in self.formats:
            write_picture(self.out_dir / 'pictures' / f'{name}.png',
                          picture(image, found, classes))
        if 'labelme' in self.formats:
            write_labelme_file(self.out_dir / 'labelme' / f'{name}.json',
                               path, size, found, classes)
        if 'png' in self.formats:
            write_png_file(self.out_dir / 'png' / f'{name}.png', size, found,
                           classes)
        self._count(str(path), size, found)

    def _count(self, file_name: str, size: Tuple[int, int],
               found: InstanceData) -> None:
        if self.stream is not None:
            self.stream.add(file_name, size, found)
        self.images += 1
        self.instances += len(found)

    def do_video(self, path: Path, progress: bool) -> None:
        """Predict and write the frames of a video."""
        source = cv2.VideoCapture(str(path))
        expected = int(source.get(cv2.CAP_PROP_FRAME_COUNT))
        bar = tqdm(total=max(expected, 0), unit='frame', desc=path.name,
                   leave=False, disable=not progress)
        with contextlib.closing(bar), contextlib.ExitStack() as stack:
            stack.callback(source.release)
            number, writer = 0, None
            for frames in _frames(source, self.predictor.batch_size):
                if writer is None and 'picture' in self.formats:
                    writer = stack.enter_context(
                        video_file(
                            self.out_dir / 'videos' /
                            f'{self.names[path]}.mp4',
                            source.get(cv2.CAP_PROP_FPS) or _DEFAULT_FPS,
                            frames[0].shape[:2]))
                for image, found in zip(frames, self._predict(frames)):
                    if isinstance(found, Exception):
                        raise found
                    if writer is not None:
                        writer.write(
                            picture(image, found, self.predictor.classes,
                                    enlarge=False))
                    self._count(f'{path}#{number}', image.shape[:2], found)
                    number += 1
                bar.update(len(frames))
        if number < max(expected, 1):
            self.failures.append(
                Failure(path, f'{path} is no video or cut off: only {number} '
                        f'of {expected} frames could be read.'))


def _frames(source: cv2.VideoCapture,
            size: int) -> Iterator[List[np.ndarray]]:
    """Yield up to ``size`` frames at a time."""
    frames: List[np.ndarray] = []
    while True:
        ok, frame = source.read()
        if ok:
            frames.append(frame)
        if frames and (not ok or len(frames) == size):
            yield frames
            frames = []
        if not ok:
            return
