"""From masks, or COCO JSON, to labelme: one JSON an image, to be edited.

A multi-part instance is several polygons with one ``group_id``; one with a
hole is a shape of type ``mask`` (labelme 5.3 and later). A score stands in
the shape's description and in ``score``, which labelme keeps.
"""
import base64
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import cv2
import numpy as np

from mmseghead.functional.outlines import mask_outlines, simplify_outline
from mmseghead.utils.files import PathLike, atomic_write
from mmseghead.utils.transaction import FileTransaction
from .image_files import checked_image
from .instances import (Instance, Masks, Progress, Size, instances_of,
                        mask_iou, output_names, read_instances, to_mask,
                        to_rle)
from .report import ConversionReport

# Newer ones read it as well.
_VERSION = '5.4.1'


def write_labelme(path: PathLike,
                  image: PathLike,
                  size: Size,
                  classes: Sequence[str],
                  masks: Masks,
                  labels: Sequence[int],
                  *,
                  scores: Optional[Sequence[float]] = None,
                  tolerance_px: float = 0.0) -> ConversionReport:
    """Write the instances of one image for labelme.

    Args:
        path: The JSON to write.
        image: The picture; the JSON names it relative to itself. It is not
            read.
        size: (H, W) of the picture.
        classes: Names of the classes.
        masks: N masks, each an (H, W) bool array, an RLE or polygons.
        labels: N indices into ``classes``.
        scores: N confidences.
        tolerance_px: How far outlines of masks may move to have fewer points;
            0 keeps every pixel. Polygons stay as they are.

    Returns:
        The count, and what was lost.

    Raises:
        ValueError: if lengths differ, or a label or a mask's size is wrong.
    """
    instances = instances_of(masks, labels, scores, size, len(classes))
    report = ConversionReport(images=1)
    content = _content(Path(path), Path(image), size)
    content['shapes'] = _shapes(instances, size, classes, tolerance_px, report)
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
    return report


def coco_to_labelme(ann_file: PathLike,
                    image_dir: PathLike,
                    out_dir: PathLike,
                    *,
                    results: Optional[PathLike] = None,
                    score_thr: float = 0.0,
                    tolerance_px: float = 0.0,
                    overwrite: bool = False,
                    progress: Progress = None) -> ConversionReport:
    """Write a COCO annotation file, or predictions, for labelme.

    ``labelme_to_coco`` gives back the same pixels when ``tolerance_px`` is 0.
    On an exception all files are as they were before.

    Args:
        ann_file: The annotation file.
        image_dir: Folder of its images; they are not copied.
        out_dir: Folder of the JSONs; may be ``image_dir``.
        results: Predictions in COCO's results format, instead of the
            annotations.
        score_thr: Leave predictions of a lower score out.
        tolerance_px: As for ``write_labelme``.
        overwrite: Replace JSONs that exist.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was lost.

    Raises:
        FileExistsError: if a JSON exists and ``overwrite`` is False.
        FileNotFoundError: if a file or an image is missing.
        ValueError: if a file has errors, or an image another size.
    """
    content = read_instances(ann_file, results, score_thr)
    image_dir, out_dir = Path(image_dir), Path(out_dir)
    paths = [out_dir / n for n in output_names(content.images, '.json')]
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f'{len(existing)} files to write exist, the first is '
            f'{existing[0]}. Choose another folder or set `overwrite`.')
    report = ConversionReport()
    with FileTransaction() as files:
        for done, (path, image) in enumerate(zip(paths, content.images), 1):
            picture = checked_image(image_dir, image.info, ann_file)
            item = _content(path, picture, image.size)
            one = ConversionReport(images=1)
            item['shapes'] = _shapes(image.instances, image.size,
                                     content.classes, tolerance_px, one)
            text = json.dumps(item, ensure_ascii=False, indent=2)
            files.write(path, text.encode())
            report.add(one)
            if progress is not None:
                progress(done, len(paths))
    return report


def _content(path: Path, image: Path, size: Size) -> Dict[str, Any]:
    relative = os.path.relpath(image.absolute(), path.parent.absolute())
    return dict(
        version=_VERSION,
        flags={},
        shapes=[],
        imagePath=relative.replace(os.sep, '/'),
        imageData=None,
        imageHeight=int(size[0]),
        imageWidth=int(size[1]))


def _shapes(instances: Sequence[Instance], size: Size, classes: Sequence[str],
            tolerance_px: float,
            report: ConversionReport) -> List[Dict[str, Any]]:
    shapes: List[Dict[str, Any]] = []
    for group, instance in enumerate(instances, 1):
        parts = _instance_shapes(instance, size, tolerance_px, report)
        if not parts:
            report.lose('no_pixels', instance.name)
            continue
        report.instances += 1
        flags = dict(iscrowd=True) if instance.is_crowd else {}
        for part in parts:
            part.update(
                label=classes[instance.label],
                group_id=group if len(parts) > 1 else None,
                description='',
                flags=flags)
            if instance.score is not None:
                part.update(
                    description=f'score {instance.score:.3f}',
                    score=instance.score)
        shapes += parts
    return shapes


def _instance_shapes(instance: Instance, size: Size, tolerance_px: float,
                     report: ConversionReport) -> List[Dict[str, Any]]:
    """Return shapes with their geometry alone; none without pixels."""
    if isinstance(instance.segmentation, list):
        return [
            _polygon(np.reshape(polygon, (-1, 2)))
            for polygon in instance.segmentation
        ]
    mask = to_mask(instance.segmentation, size)
    parts = mask_outlines(mask)
    if any(part.holes for part in parts):
        return [_mask(mask)]
    outlines = [simplify_outline(part.outer, tolerance_px) for part in parts]
    if tolerance_px > 0 and outlines:
        after = to_rle([o.ravel().tolist() for o in outlines], size)
        iou = mask_iou(to_rle(instance.segmentation, size), after)
        if iou < 1:
            report.ious.append(iou)
            report.lose('changed', instance.name)
    return [_polygon(outline) for outline in outlines]


def _polygon(points: np.ndarray) -> Dict[str, Any]:
    return dict(
        points=points.astype(float).tolist(), shape_type='polygon', mask=None)


def _mask(mask: np.ndarray) -> Dict[str, Any]:
    """Return a shape with the pixels of the mask's box as a PNG."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom = rows[[0, -1]].tolist()
    left, right = columns[[0, -1]].tolist()
    crop = mask[top:bottom + 1, left:right + 1].astype(np.uint8) * 255
    _, data = cv2.imencode('.png', crop)
    return dict(
        points=[[float(left), float(top)], [float(right),
                                            float(bottom)]],
        shape_type='mask',
        mask=base64.b64encode(data.tobytes()).decode('ascii'))
