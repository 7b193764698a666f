"""Building a COCO annotation file, one image at a time."""
import json
from typing import Any, Dict, List, Sequence, Union

import numpy as np
from pycocotools import mask as mask_api

from mmseghead.functional.outlines import clip_outline
from mmseghead.utils.files import PathLike, atomic_write
from .instances import Size, to_rle
from .report import ConversionReport

# Coordinates further outside of the image than this are told of.
_MARGIN_PX = 0.01


class CocoBuilder:
    """Collects images and annotations and writes them as COCO JSON.

    Category ids are 1 to n in the order of the classes, ids of images and
    annotations count from 1. Polygons stay polygons, cut off at the image's
    border; masks become RLE. ``area`` and ``bbox`` are those of the pixels.

    Args:
        classes: Names, at least one, none twice.

    Raises:
        ValueError: if ``classes`` is empty or repeats a name.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        if not self.classes or len(set(self.classes)) < len(self.classes) or \
                not all(isinstance(c, str) and c for c in self.classes):
            raise ValueError('`classes` must be names, at least one and none '
                             f'twice, got {list(self.classes)}.')
        self.report = ConversionReport()
        self._images: List[Dict[str, Any]] = []
        self._annotations: List[Dict[str, Any]] = []

    def add_image(self, file_name: str, size: Size) -> None:
        """Start the next image; what is added then belongs to it.

        Args:
            file_name: Path below the image folder.
            size: (H, W).
        """
        self._images.append(
            dict(
                id=len(self._images) + 1,
                file_name=file_name,
                height=int(size[0]),
                width=int(size[1])))
        self.report.images += 1

    def add(self,
            label: int,
            segmentation: Union[np.ndarray, Dict[str, Any], Sequence[Any]],
            name: str,
            is_crowd: bool = False) -> bool:
        """Add an instance to the current image.

        Args:
            label: Index of its class.
            segmentation: (H, W) bool, an RLE, or outlines (L, 2) of which
                the union counts.
            name: Where it comes from, for the report.
            is_crowd: Whether it is a region of many objects.

        Returns:
            False if it covers no pixel and was left out.
        """
        image = self._images[-1]
        size = image['height'], image['width']
        if isinstance(segmentation, np.ndarray):
            segmentation = mask_api.encode(
                np.asfortranarray(segmentation, dtype=np.uint8))
        elif not isinstance(segmentation, dict):
            segmentation = self._clipped(segmentation, size, name)
        rle = to_rle(segmentation, size)
        area = int(mask_api.area(rle))
        if not area:
            self.report.lose('no_pixels', name)
            return False
        if isinstance(segmentation, dict):
            counts = rle['counts']
            segmentation = dict(
                size=list(size),
                counts=counts if isinstance(counts, str) else counts.decode())
        self._annotations.append(
            dict(
                id=len(self._annotations) + 1,
                image_id=image['id'],
                category_id=label + 1,
                iscrowd=int(is_crowd),
                area=area,
                bbox=[int(n) for n in mask_api.toBbox(rle)],
                segmentation=segmentation))
        self.report.instances += 1
        return True

    def _clipped(self, outlines: Sequence[Any], size: Size,
                 name: str) -> List[List[float]]:
        """Return outlines as polygons inside of the image."""
        limit = np.array([size[1], size[0]])
        polygons = []
        is_cut = False
        for outline in outlines:
            points = np.asarray(outline, np.float64).reshape(-1, 2)
            beyond = np.maximum(-points, points - limit).max()
            if beyond > 0:
                points = clip_outline(points, size)
                is_cut |= beyond > _MARGIN_PX
            if len(points) >= 3:
                polygons.append(points.ravel().tolist())
        if is_cut:
            self.report.lose('clipped', name)
        return polygons

    def write(self, path: PathLike) -> None:
        """Write the file; it appears when it is complete.

        Args:
            path: The JSON. Missing folders are made.

        Raises:
            ValueError: if no image was added.
        """
        if not self._images:
            raise ValueError(f'There is no image to write to {path}.')
        with atomic_write(path) as file:
            json.dump(
                dict(
                    images=self._images,
                    annotations=self._annotations,
                    categories=[
                        dict(id=i, name=name)
                        for i, name in enumerate(self.classes, 1)
                    ]), file)
