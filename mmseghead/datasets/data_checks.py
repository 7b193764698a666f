"""What a data set leaves out, and whether its images can be read."""
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import cv2
import numpy as np
from mmengine.fileio import get


class Dropped(NamedTuple):
    """What loading and filtering leave out of an annotation file.

    ``images`` and ``instances`` count what the file lists. Images go for
    having no instances (``filter_empty_gt``) or for their shorter side
    (``min_size``), instances for their box: without area, outside of the
    image, of a class that is not trained, or marked to be ignored.
    """

    images: int
    instances: int
    empty: int
    small: int
    boxes: int

    @property
    def kept(self) -> int:
        """How many images are left."""
        return self.images - self.empty - self.small


def inner_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside wrappers such as ``RepeatDataset``."""
    if hasattr(dataset, 'datasets'):
        for inner in dataset.datasets:
            yield from inner_datasets(inner)
    elif hasattr(dataset, 'dataset'):
        yield from inner_datasets(dataset.dataset)
    else:
        yield dataset


def count_dropped(data_list: Sequence[dict], filter_cfg: Optional[dict],
                  test_mode: bool, instances: int) -> Dropped:
    """Count what a COCO data set leaves out, by reason.

    Args:
        data_list: What ``load_data_list`` returned, before ``filter_data``.
        filter_cfg: The data set's; None keeps all.
        test_mode: Whether the data set is for tests, which filter nothing.
        instances: How many annotations the file lists.
    """
    rules = {} if test_mode else dict(filter_cfg or {})
    least = rules.get('min_size', 0)
    empty = small = kept = 0
    for info in data_list:
        kept += len(info['instances'])
        if rules.get('filter_empty_gt') and not info['instances']:
            empty += 1
        elif min(info['width'], info['height']) < least:
            small += 1
    return Dropped(len(data_list), instances, empty, small, instances - kept)


def image_problems(data_list: Sequence[dict],
                   sample: Optional[int]) -> List[str]:
    """Open images and compare them with what the annotations say.

    Args:
        data_list: Entries with ``img_path``, ``height`` and ``width``.
        sample: How many to open, evenly spread; None: all.

    Returns:
        A message for each that is missing, cannot be read, or is of another
        size than annotated.
    """
    picks = np.arange(len(data_list))
    if sample is not None and sample < len(data_list):
        picks = np.linspace(0, len(data_list) - 1, sample).round().astype(int)
    problems = []
    for index in picks.tolist():
        problem = _image_problem(data_list[index])
        if problem:
            problems.append(problem)
    return problems


def _image_problem(info: Dict[str, Any]) -> str:
    path = info['img_path']
    if '://' not in path and not os.path.isfile(path):
        return f'{path} does not exist.'
    try:
        data = np.frombuffer(get(path), np.uint8)
    except OSError as error:
        return f'{path} cannot be opened: {error}.'
    # As LoadImageFromFile reads it: in colour, turned as EXIF says.
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        return (f'{path} cannot be read as an image: empty, cut off, or of a '
                'kind that OpenCV does not know.')
    height, width = pixels.shape[:2]
    if (height, width) == (info['height'], info['width']):
        return ''
    hint = ''
    if (width, height) == (info['height'], info['width']):
        hint = ' It is turned by its EXIF orientation: save it upright.'
    return (f'{path} is {width} x {height} px, but the annotations say '
            f'{info["width"]} x {info["height"]}.{hint}')
