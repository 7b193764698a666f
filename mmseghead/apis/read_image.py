"""Images of users: found, read as in training, and checked."""
import glob
import os
import warnings
from pathlib import Path
from typing import List, NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp',
                 '.ppm', '.pgm')
VIDEO_ENDINGS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.mpg', '.mpeg')
# A 16-bit image below this shows next to nothing in 8 bits.
_DARK = 2**12


class ReadImage(NamedTuple):
    """An image, and what its user should know of it."""

    pixels: np.ndarray  #: (H, W, 3) uint8, BGR
    note: Optional[str]


def find_inputs(where: str) -> List[Path]:
    """Return the images and videos that a user means.

    Args:
        where: A file, a folder (searched with all folders below it, for the
            usual endings), or a pattern with ``*``, ``?``, ``[...]`` and
            ``**``.

    Returns:
        The files, sorted by path.

    Raises:
        FileNotFoundError: if there are none.
    """
    path = Path(where)
    endings = IMAGE_ENDINGS + VIDEO_ENDINGS
    if path.is_dir():
        found = [
            Path(folder) / name for folder, _, names in os.walk(path)
            for name in names
        ]
        found = [file for file in found if file.suffix.lower() in endings]
        hint = f'no file in it ends in {", ".join(endings)}'
    elif path.is_file():
        return [path]
    else:
        found = [Path(file) for file in glob.glob(where, recursive=True)]
        found = [file for file in found if file.is_file()]
        hint = 'there is no such file or folder, and as a pattern it matches none'
    if not found:
        raise FileNotFoundError(f'No images at {where!r}: {hint}.')
    return sorted(found)


def is_video(path: Path) -> bool:
    """Tell a video by its ending."""
    return path.suffix.lower() in VIDEO_ENDINGS


def read_image(path: Path) -> ReadImage:
    """Read an image as a training reads it, but whole or not at all.

    Grey images get three channels, alpha is dropped, CMYK is converted, the
    orientation in EXIF is applied, and of 16 bits the upper 8 are taken. Of
    several pages the first is read.

    Raises:
        ValueError: if the file is no image, or a part of it is missing;
            names it.
    """
    note = _complain_if_broken(path)
    data = np.fromfile(path, np.uint8)
    pixels = None
    if len(data):
        try:
            pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error as error:  # too many pixels, for one
            raise ValueError(f'{path} cannot be read: {error.err}') from None
    if pixels is None:
        pixels = _by_pillow(path)
    return ReadImage(pixels, note)


def _complain_if_broken(path: Path) -> Optional[str]:
    """Let Pillow decode all of it: older OpenCV fills what is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                if image.mode.startswith('I') and np.asarray(
                        image).max() < _DARK:
                    return (f'{path}: 16 bits, of which the upper 8 are read '
                            'and hold next to nothing. Stretch its values '
                            'first, in training too.')
    except UnidentifiedImageError:
        pass  # OpenCV may know it
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        pass  # large, not broken; OpenCV has limits of its own
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f'{path} is broken or cut off: {error}') from None
    return None


def _by_pillow(path: Path) -> np.ndarray:
    """Read what OpenCV does not know."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB'))[:, :, ::-1].copy()
    except (OSError, ValueError) as error:
        raise ValueError(f'{path} is no image that can be read: '
                         f'{error}') from None
