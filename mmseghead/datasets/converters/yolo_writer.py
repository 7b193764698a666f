"""From COCO JSON to YOLO-seg: one outline a line.

A line can hold one closed outline only. Parts, and here holes too, are joined
into one by bridges of no width between nearest corners, as Ultralytics'
converter does with parts: the instance stays one instance, which separate
lines would not keep. Filled by the even-odd rule, as pycocotools does, it is
the same mask; a program that also draws the outline, as OpenCV's ``fillPoly``
does, draws each bridge one pixel wide.
"""
import os
import shutil
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import yaml
from pycocotools import mask as mask_api

from mmseghead.functional.outlines import (bridge_outlines, clip_outline,
                                           mask_outlines, simplify_outline)
from mmseghead.utils.files import PathLike
from mmseghead.utils.folders import atomic_folder
from .image_files import checked_image
from .instances import (CocoContent, ImageInstances, Instance, Progress, Size,
                        mask_iou, output_names, read_instances, to_mask,
                        to_rle)
from .report import ConversionReport
from .targets import check_empty_folder
from .yolo_reader import label_path, to_pixels

IMAGE_MODES = ('link', 'copy', 'none')
_DECIMALS = 8


class YoloSplit(NamedTuple):
    """What becomes one split: annotations, or predictions for its images."""

    ann_file: PathLike
    image_dir: Optional[PathLike] = None
    results: Optional[PathLike] = None


def coco_to_yolo(splits: Dict[str, YoloSplit],
                 out_dir: PathLike,
                 *,
                 score_thr: float = 0.0,
                 tolerance_px: float = 0.0,
                 images: str = 'link',
                 progress: Progress = None) -> ConversionReport:
    """Write COCO annotation files as a YOLO-seg data set.

    Args:
        splits: By name, such as ``train`` and ``val``; their classes must
            agree.
        out_dir: A new or empty folder; it appears when it is complete, with
            ``images/<split>``, ``labels/<split>`` and ``data.yaml``.
        score_thr: Leave predictions of a lower score out.
        tolerance_px: How far outlines of masks may move to have fewer points;
            0 keeps every pixel. Polygons stay as they are.
        images: ``'link'`` or ``'copy'`` them, or ``'none'``.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was lost. Crowd regions and scores have no place in
        this format.

    Raises:
        FileExistsError: if ``out_dir`` holds files.
        FileNotFoundError: if a file or an image is missing.
        ValueError: if a file has errors, classes differ or ``images`` is of
            another value.
    """
    if images not in IMAGE_MODES:
        raise ValueError(f'`images` of coco_to_yolo must be one of '
                         f'{IMAGE_MODES}, got {images!r}.')
    if not splits:
        raise ValueError('`splits` of coco_to_yolo must not be empty.')
    check_empty_folder(out_dir, 'coco_to_yolo')
    contents = {
        name: read_instances(split.ann_file, split.results, score_thr)
        for name, split in splits.items()
    }
    classes = _common_classes(contents, splits)
    total = sum(len(content.images) for content in contents.values())
    report = ConversionReport()
    with atomic_folder(out_dir) as building:
        for name, content in contents.items():
            # Two images of one name would share a label file.
            output_names(content.images, '.txt')
            for image in content.images:
                lines = _lines(image, tolerance_px, report)
                picture = Path('images', name, image.info['file_name'])
                path = building / label_path(picture)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(''.join(lines), 'utf-8')
                _place_image(image, splits[name], building / picture, images)
                report.images += 1
                if progress is not None:
                    progress(report.images, total)
        (building / 'data.yaml').write_text(
            yaml.safe_dump(
                dict(
                    **{name: f'images/{name}'
                       for name in contents},
                    names=dict(enumerate(classes))),
                sort_keys=False,
                allow_unicode=True), 'utf-8')
    return report


def _common_classes(contents: Dict[str, CocoContent],
                    splits: Dict[str, YoloSplit]) -> Tuple[str, ...]:
    first, *others = contents
    for other in others:
        if contents[other].classes != contents[first].classes:
            raise ValueError(
                f'The splits must have the same classes in the same order, '
                f'but {splits[first].ann_file} has '
                f'{contents[first].classes} and {splits[other].ann_file} has '
                f'{contents[other].classes}.')
    return contents[first].classes


def _place_image(image: ImageInstances, split: YoloSplit, path: Path,
                 mode: str) -> None:
    if mode == 'none':
        return
    if split.image_dir is None:
        raise ValueError(f'Give the image folder of {split.ann_file}, or '
                         "`images='none'`.")
    picture = checked_image(Path(split.image_dir), image.info, split.ann_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == 'copy':
        shutil.copyfile(picture, path)
    else:
        os.symlink(picture.resolve(), path)


def _lines(image: ImageInstances, tolerance_px: float,
           report: ConversionReport) -> List[str]:
    lines = []
    scale = np.array([image.size[1], image.size[0]])
    for instance in image.instances:
        if instance.is_crowd:
            report.lose('crowds', instance.name)
            continue
        outline = instance_outline(instance, image.size, tolerance_px, report)
        text = [f'{value:.{_DECIMALS}f}'.rstrip('0').rstrip('.')
                for value in (outline / scale).ravel()]
        iou = _iou_after(text, instance, image.size)
        if iou is None:
            report.lose('no_pixels', instance.name)
            continue
        if iou < 1:
            report.ious.append(iou)
            report.lose('changed', instance.name)
        line = f'{instance.label} {" ".join(text)}\n'
        if line in lines:
            # Readers of this format take it for a mistake, ours too.
            report.lose('duplicates', instance.name)
            continue
        if instance.score is not None:
            report.lose('scores', instance.name)
        lines.append(line)
        report.instances += 1
    return lines


def _iou_after(text: List[str], instance: Instance,
               size: Size) -> Optional[float]:
    """Return the mask IoU of an instance and of what will be read again.

    None if there is no pixel, before or after.
    """
    if len(text) < 6:
        return None
    shares = np.array(text, np.float64).reshape(-1, 2)
    after = to_rle([to_pixels(shares, size).ravel().tolist()], size)
    before = to_rle(instance.segmentation, size)
    if not mask_api.area(before) or not mask_api.area(after):
        return None
    return mask_iou(before, after)


def instance_outline(instance: Instance, size: Size, tolerance_px: float,
                     report: ConversionReport) -> np.ndarray:
    """Return an instance as one closed outline.

    Args:
        instance: The instance.
        size: (H, W) of its image.
        tolerance_px: As for ``coco_to_yolo``.
        report: Takes the names of instances with bridges.

    Returns:
        (L, 2) points in pixels, inside of the image; (0, 2) without pixels.
    """
    segmentation = instance.segmentation
    loops: List[np.ndarray] = []
    if isinstance(segmentation, list):
        loops = [
            clipped for polygon in segmentation
            if len(clipped := clip_outline(
                np.reshape(polygon, (-1, 2)), size)) >= 3
        ]
        if len(loops) > 1 and not _fills(bridge_outlines(loops), instance,
                                         size):
            # They overlap: even-odd would make a hole of it.
            loops = []
    if not loops:
        loops = [
            simplify_outline(loop, tolerance_px)
            for part in mask_outlines(to_mask(segmentation, size))
            for loop in (part.outer, *part.holes)
        ]
    if not loops:
        return np.zeros((0, 2))
    if len(loops) > 1:
        report.lose('bridged', instance.name)
    return bridge_outlines(loops)


def _fills(outline: np.ndarray, instance: Instance, size: Size) -> bool:
    """Return whether an outline fills the pixels of an instance."""
    filled = to_rle([outline.ravel().tolist()], size)
    return mask_iou(filled, to_rle(instance.segmentation, size)) == 1
