"""From masks, or COCO JSON, to PNG: one picture of 16-bit ids an image.

0 is background. Beside ``<name>.png`` stands ``<name>.json``, which says for
each id its class, score and more. Holes and parts are kept; a pixel has one
id, so that overlaps are lost.
"""
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as mask_api

from mmseghead.utils.files import PathLike
from mmseghead.utils.folders import atomic_folder
from mmseghead.utils.transaction import FileTransaction
from .instances import (Instance, Masks, Progress, Size, instances_of,
                        output_names, read_instances, to_mask, to_rle)
from .report import ConversionReport
from .targets import check_empty_folder

_MAX_ID = 2**16 - 1


def write_png_masks(
        path: PathLike,
        size: Size,
        classes: Sequence[str],
        masks: Masks,
        labels: Sequence[int],
        *,
        scores: Optional[Sequence[float]] = None) -> ConversionReport:
    """Write the instances of one image as a PNG of ids, and its JSON.

    Args:
        path: The PNG to write; the JSON has its name.
        size: (H, W) of the image.
        classes: Names of the classes.
        masks: N <= 65535 masks, each an (H, W) bool array, an RLE or polygons.
        labels: N indices into ``classes``.
        scores: N confidences. Where masks overlap, the highest one shows;
            without scores, the smallest mask.

    Returns:
        The count, and what was hidden.

    Raises:
        ValueError: if lengths differ, a label or a mask's size is wrong,
            there are too many masks, or ``path`` does not end in ``.png``.
    """
    path = Path(path)
    if path.suffix != '.png':
        raise ValueError('`path` of write_png_masks must end in .png, got '
                         f'{str(path)!r}.')
    instances = instances_of(masks, labels, scores, size, len(classes))
    report = ConversionReport(images=1)
    picture, text = _encode(instances, size, classes, report)
    with FileTransaction() as files:
        files.write(path, picture)
        files.write(path.with_suffix('.json'), text)
    return report


def coco_to_png(ann_file: PathLike,
                out_dir: PathLike,
                *,
                results: Optional[PathLike] = None,
                score_thr: float = 0.0,
                progress: Progress = None) -> ConversionReport:
    """Write a COCO annotation file, or predictions, as PNGs of ids.

    ``png_to_coco`` gives back the same pixels where nothing overlaps.

    Args:
        ann_file: The annotation file.
        out_dir: A new or empty folder; it appears when it is complete.
        results: Predictions in COCO's results format, instead of the
            annotations.
        score_thr: Leave predictions of a lower score out.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was hidden.

    Raises:
        FileExistsError: if ``out_dir`` holds files.
        FileNotFoundError: if a file is missing.
        ValueError: if a file has errors, or an image more than 65535
            instances.
    """
    check_empty_folder(out_dir, 'coco_to_png')
    content = read_instances(ann_file, results, score_thr)
    names = output_names(content.images, '.png')
    report = ConversionReport()
    with atomic_folder(out_dir) as building:
        for done, (name, image) in enumerate(zip(names, content.images), 1):
            one = ConversionReport(images=1)
            picture, text = _encode(image.instances, image.size,
                                    content.classes, one)
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            (building / name).write_bytes(picture)
            (building / name).with_suffix('.json').write_bytes(text)
            report.add(one)
            if progress is not None:
                progress(done, len(names))
    return report


def _encode(instances: Sequence[Instance], size: Size, classes: Sequence[str],
            report: ConversionReport) -> Tuple[bytes, bytes]:
    """Return the bytes of the PNG and of the JSON."""
    if len(instances) > _MAX_ID:
        raise ValueError(f'A PNG of 16 bits holds at most {_MAX_ID} '
                         f'instances, got {len(instances)}. Raise the score '
                         'threshold.')
    ids = np.zeros(size, np.uint16)
    rles = [to_rle(instance.segmentation, size) for instance in instances]
    areas = [int(mask_api.area(rle)) for rle in rles]
    # One mask at a time: all of a large image would not fit into memory.
    for index in _painting_order(instances, areas):
        ids[to_mask(rles[index], size)] = index + 1
    visible = np.bincount(ids.ravel(), minlength=len(instances) + 1)[1:]
    entries: List[Dict[str, Any]] = []
    for index, instance in enumerate(instances):
        shown = int(visible[index])
        if not _note(instance, areas[index], shown, report):
            continue
        entry: Dict[str, Any] = dict(
            id=index + 1,
            label=classes[instance.label],
            label_index=instance.label,
            iscrowd=int(instance.is_crowd),
            area=areas[index],
            visible_area=shown)
        if instance.score is not None:
            entry['score'] = instance.score
        entries.append(entry)
    text = json.dumps(
        dict(
            height=int(size[0]),
            width=int(size[1]),
            classes=list(classes),
            instances=entries),
        indent=1)
    _, picture = cv2.imencode('.png', ids)
    return picture.tobytes(), text.encode()


def _painting_order(instances: Sequence[Instance],
                    areas: Sequence[int]) -> List[int]:
    """Return indices, the one that shows on top of all others last."""

    def height(index: int) -> Tuple[bool, float]:
        instance = instances[index]
        over = -areas[index] if instance.score is None else instance.score
        return not instance.is_crowd, over

    return sorted(range(len(instances)), key=height)


def _note(instance: Instance, area: int, shown: int,
          report: ConversionReport) -> bool:
    """Report what is hidden; return whether something is seen."""
    if not area:
        report.lose('no_pixels', instance.name)
    elif not shown:
        report.lose('hidden', instance.name)
        report.ious.append(0.0)
    elif shown < area:
        report.lose('overlaps', f'{instance.name} ({area - shown} px)')
        report.ious.append(shown / area)
    report.instances += shown > 0
    return shown > 0
