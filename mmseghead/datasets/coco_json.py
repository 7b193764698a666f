"""Reading and writing COCO JSON."""
import json
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
from pycocotools import mask as mask_api

from mmseghead.utils.files import PathLike
from .coco_checks import Problem, iter_problems, iter_result_problems

_SHOWN = 5


def read_coco(path: PathLike) -> Dict[str, Any]:
    """Read a COCO annotation file and check its structure.

    Use :func:`mmseghead.datasets.coco_checks.find_problems` to list faults,
    and warnings, instead of stopping at them.

    Args:
        path: The JSON.

    Returns:
        Its content: the lists ``images``, ``annotations``, ``categories``,
        and whatever else there is.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON, or has errors; the message shows the
            first five and counts the others.
    """
    data = read_json(path)
    stop_at_errors(path, iter_problems(data))
    return data


def read_coco_results(path: PathLike, data: Dict[str,
                                                 Any]) -> List[Dict[str, Any]]:
    """Read predictions in COCO's results format and check them.

    Args:
        path: The JSON, a list of objects with ``image_id``, ``category_id``,
            ``score`` and ``segmentation``.
        data: The annotation file of these images, from :func:`read_coco`.

    Returns:
        The list.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON, or has errors.
    """
    results = read_json(path)
    stop_at_errors(path, iter_result_problems(results, data))
    return results


def read_json(path: PathLike) -> Any:
    """Read a JSON; errors name the file, line and column.

    Args:
        path: The file, in UTF-8.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON, or cut off.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}.')
    try:
        return json.loads(path.read_text('utf-8-sig'))
    except json.JSONDecodeError as error:
        end = len(error.doc.rstrip())
        cut = ' The file ends there: it is cut off.' if error.pos >= end \
            or error.msg.startswith('Unterminated') else ''
        raise ValueError(
            f'{path} is no valid JSON: line {error.lineno}, column '
            f'{error.colno}: {error.msg}.{cut}') from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'{path} is no valid JSON: {error}.') from error


def mask_to_annotation(mask: np.ndarray) -> Dict[str, Any]:
    """Return ``segmentation``, ``area`` and ``bbox`` of a mask.

    Args:
        mask: (H, W) bool, at least one pixel set.

    Returns:
        COCO fields: compressed RLE with ``counts`` as a string, holes kept,
        area in pixels, box [x, y, w, h] of the pixels, all exact.
    """
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(
        segmentation=dict(
            size=[int(n) for n in rle['size']],
            counts=rle['counts'].decode('ascii')),
        area=int(mask_api.area(rle)),
        bbox=[int(n) for n in mask_api.toBbox(rle)])


def stop_at_errors(path: PathLike, problems: Iterator[Problem]) -> None:
    """Raise if there are errors among the problems of a file.

    Args:
        path: The file, for the message.
        problems: What was found; warnings pass.

    Raises:
        ValueError: with the first five errors and the number of others.
    """
    errors = (p.message for p in problems if p.severity == 'error')
    shown = list(islice(errors, _SHOWN))
    if not shown:
        return
    more = sum(1 for _ in errors)
    lines = '\n  '.join(shown + ([f'... and {more} more'] if more else []))
    raise ValueError(
        f'{path} has {len(shown) + more} error'
        f'{"s" if len(shown) + more > 1 else ""}:\n  {lines}')
