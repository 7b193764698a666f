"""Dividing a COCO JSON into a part to train and a part to validate on."""
import hashlib
from typing import Any, Dict, Tuple

_STEPS = 2**64


def split_coco(data: Dict[str, Any],
               val_percent: int) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Put a share of the images aside, chosen by a hash of their names.

    So the same images are chosen on any machine, and images added later move
    none. Among the first candidates at least one image is left on each side.

    Args:
        data: From ``read_coco``.
        val_percent: Share of the images, 1 to 99.

    Returns:
        The content for training and for validation, with all categories.

    Raises:
        ValueError: if there are fewer than two images.
    """
    images = data['images']
    if len(images) < 2:
        raise ValueError('At least two images are needed to put one aside '
                         f'for validation, got {len(images)}.')
    order = sorted(images, key=lambda image: (_hash(image), image['id']))
    limit = val_percent * _STEPS // 100
    number = sum(_hash(image) < limit for image in images)
    number = min(max(number, 1), len(images) - 1)
    aside = {image['id'] for image in order[:number]}
    return _part(data, aside, False), _part(data, aside, True)


def _hash(image: Dict[str, Any]) -> int:
    digest = hashlib.sha256(image['file_name'].encode()).digest()
    return int.from_bytes(digest[:8], 'big')


def _part(data: Dict[str, Any], aside: set, inside: bool) -> Dict[str, Any]:
    return dict(
        data,
        images=[i for i in data['images'] if (i['id'] in aside) == inside],
        annotations=[
            a for a in data['annotations']
            if (a['image_id'] in aside) == inside
        ])
