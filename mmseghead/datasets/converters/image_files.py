"""Finding image files and reading their sizes."""
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from PIL import Image, UnidentifiedImageError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# EXIF's tag of the orientation; from 5 on, width and height are swapped.
_ORIENTATION = 0x0112


def image_size(path: Path) -> Tuple[int, int]:
    """Return (H, W) of an image as it is shown, EXIF's rotation applied.

    Only the header is read.

    Args:
        path: The image.

    Returns:
        Height and width.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if its header cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f'There is no image {path}.')
    limit = Image.MAX_IMAGE_PIXELS
    try:
        # Pillow refuses huge images; a header alone does no harm.
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError,
            TypeError) as error:
        raise ValueError(f'{path} cannot be read as an image: {error}. It may '
                         'be cut off.') from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    return (width, height) if turned else (height, width)


def list_images(folder: Path) -> List[Path]:
    """Return the images below a folder, sorted by path.

    Args:
        folder: The folder; its subfolders are searched too.

    Returns:
        At least one path.

    Raises:
        FileNotFoundError: if there is no such folder, or no image in it.
    """
    found = sorted(
        path for path in folder.rglob('*')
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not found:
        raise FileNotFoundError(
            f'{folder} must be a folder with images '
            f'({", ".join(IMAGE_SUFFIXES)}), but '
            f'{"holds none" if folder.is_dir() else "does not exist"}.')
    return found


def find_image(folder: Path, stem: Path) -> Optional[Path]:
    """Return the image ``folder/stem.*``, None if there is none."""
    for suffix in IMAGE_SUFFIXES:
        for candidate in (suffix, suffix.upper()):
            path = folder / stem.parent / f'{stem.name}{candidate}'
            if path.is_file():
                return path
    return None


def checked_image(folder: Path, info: Dict[str, Any], ann_file: Any) -> Path:
    """Return the path of an image of a COCO file, if it has its size.

    Args:
        folder: The image folder.
        info: The image's entry in ``images``.
        ann_file: The COCO file, for messages.

    Returns:
        The image's path.

    Raises:
        FileNotFoundError: if there is no such image.
        ValueError: if it cannot be read or has another size.
    """
    path = folder / info['file_name']
    if not path.is_file():
        raise FileNotFoundError(f'Image {info["id"]} of {ann_file} is '
                                f'missing: there is no {path}.')
    size = image_size(path)
    if size != (info['height'], info['width']):
        raise ValueError(
            f'Image {info["id"]} of {ann_file} must have {info["width"]} x '
            f'{info["height"]} px, but {path} has {size[1]} x {size[0]}.')
    return path
