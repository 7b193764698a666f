"""What a data set leaves out, and whether its images can be read."""
import io
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import cv2
import numpy as np
from mmengine.fileio import get
from PIL import Image

from .coco_checks import Problem

_PNG_BEGIN, _PNG_DEPTH = b'\x89PNG\r\n\x1a\n', 24  # depth: at this byte
_JPEG_BEGIN, _JPEG_END = b'\xff\xd8', b'\xff\xd9'


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
                   sample: Optional[int]) -> List[Problem]:
    """Open images and compare them with what the annotations say.

    Args:
        data_list: Entries with ``img_path``, ``height`` and ``width``.
        sample: How many to open, evenly spread; None: all.

    Returns:
        An error for each that is missing, cannot be read, is cut off, or is
        of another size than annotated; a warning for each whose pixels are
        changed on reading: of 16 bits only the upper 8 are read, and
        transparency is dropped.
    """
    picks = np.arange(len(data_list))
    if sample is not None and sample < len(data_list):
        picks = np.linspace(0, len(data_list) - 1, sample).round().astype(int)
    problems = []
    for index in picks.tolist():
        info = data_list[index]
        fault = _image_fault(info)
        if fault:
            problems.append(Problem('error', f'{info["img_path"]} {fault}'))
            continue
        loss = _image_loss(info['img_path'])
        if loss:
            problems.append(Problem('warning', f'{info["img_path"]} {loss}'))
    return problems


def _image_fault(info: Dict[str, Any]) -> str:
    path = info['img_path']
    if '://' not in path and not os.path.isfile(path):
        return 'does not exist.'
    try:
        data = get(path)
        # As LoadImageFromFile reads it: in colour, turned as EXIF says.
        pixels = cv2.imdecode(
            np.frombuffer(data, np.uint8),
            cv2.IMREAD_COLOR) if data else None
    except OSError as error:
        return f'cannot be opened: {error}.'
    except cv2.error:
        return ('is too large for OpenCV: more pixels than '
                'OPENCV_IO_MAX_IMAGE_PIXELS allows.')
    if pixels is None:
        return ('cannot be read as an image: empty, cut off, or of a kind '
                'that OpenCV does not know.')
    if _is_cut(data):
        return 'is cut off: OpenCV fills the missing part with grey.'
    height, width = pixels.shape[:2]
    if (height, width) == (info['height'], info['width']):
        return ''
    hint = ''
    if (width, height) == (info['height'], info['width']):
        hint = ' It is turned by its EXIF orientation: save it upright.'
    return (f'is {width} x {height} px, but the annotations say '
            f'{info["width"]} x {info["height"]}.{hint}')


def _is_cut(data: bytes) -> bool:
    """Return whether a picture that OpenCV has read ends too early."""
    if data[:2] == _JPEG_BEGIN and data.rstrip(b'\0')[-2:] == _JPEG_END:
        return False  # by far the most
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        return 'truncated' in str(error).lower()
    return False


def _image_loss(path: str) -> str:
    """Return what reading a picture in 8 bits and 3 channels loses."""
    data = get(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
    except (OSError, SyntaxError, ValueError):
        return ''  # OpenCV knows some kinds that PIL does not
    # PIL shows colours of 16 bits as those of 8.
    deep = data[:8] == _PNG_BEGIN and data[_PNG_DEPTH] == 16
    if deep or mode.startswith(('I', 'F')):
        return ('has more than 8 bits: only the upper 8 are read. Stretch '
                'the values to 8 bits yourself if they do not use them.')
    if mode in ('RGBA', 'LA', 'PA', 'RGBa'):
        return 'has transparency, which is dropped on reading.'
    return ''
