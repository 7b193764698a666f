"""Pictures and files of a comparison of two models."""
import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from pycocotools import mask as mask_api

from mmseghead.utils.files import atomic_write
from mmseghead.visualization.comparison import (plot_bars, plot_confusions,
                                                plot_differences)
from mmseghead.visualization.instances import (draw_instances, encode_png,
                                               join_panels)
from .compare_predictions import Comparison, ImageRow, Outcome
from .comparison_report import to_json, to_markdown

_LONG_SIDE_PX = 640  # smaller images are enlarged up to this
_LEAST_WIDTH_PX = 480  # of a panel: its title has to fit
_MOST_CLASSES = 20  # in the plot of differences
# BGR.
_RIGHT, _WRONG = (80, 200, 60), (50, 50, 235)
_MISSED, _IGNORED = (0, 215, 255), (150, 150, 150)


def write_comparison(comparison: Comparison, out: Path, *,
                     images: Optional[Path] = None,
                     num_images: int = 12) -> List[Path]:
    """Write a comparison with its plots and pictures.

    Args:
        comparison: What to write.
        out: Folder, made if it is missing: ``comparison.json``,
            ``comparison.md``, plots, and ``images/``.
        images: Folder that the annotations' ``file_name`` are relative to;
            None draws on grey.
        num_images: Pictures of that many images that differ most.

    Returns:
        The files written, each of them whole.

    Raises:
        FileNotFoundError: if an image is missing; nothing has been written
            then.
        ValueError: if an image is of another size than its annotation says;
            likewise.
    """
    rows = [row for row in comparison.images[:num_images] if row.difference]
    # Before anything is written, as images may be missing.
    pictures = {
        f'images/{place:02d}_{_stem(row)}.png':
        encode_png(draw_row(comparison, row, images))
        for place, row in enumerate(rows, 1)
    }
    plots = make_plots(comparison)
    for name, figure in plots.items():
        with atomic_write(out / name, 'wb') as file:
            figure.savefig(file, dpi=130, format='png')
    for name, content in pictures.items():
        with atomic_write(out / name, 'wb') as file:
            file.write(content)
    texts = {
        'comparison.json': to_json(comparison),
        'comparison.md': to_markdown(
            comparison, num_images=max(num_images, 20),
            pictures=[*plots, *pictures])
    }
    for name, text in texts.items():
        with atomic_write(out / name) as file:
            file.write(text)
    return [out / name for name in (*plots, *pictures, *texts)]


def _stem(row: ImageRow) -> str:
    name = Path(row.file_name).stem or str(row.image_id)
    return re.sub(r'[^\w.-]', '_', name)


def make_plots(comparison: Comparison) -> Dict[str, Figure]:
    """Return file name -> plot.

    Args:
        comparison: What to plot.
    """
    names = comparison.names
    classes = {
        key: item for key, item in comparison.classes.items()
        if item.difference is not None
    }
    order = sorted(classes, key=lambda key: -abs(classes[key].difference))
    groups = {'': comparison.overall}
    if len(comparison.classes) > 1:
        kept = sorted(order[:_MOST_CLASSES],
                      key=lambda key: -classes[key].difference)
        groups['mask AP of classes' if len(kept) == len(order) else
               f'{len(kept)} most different classes'] = {
            key: classes[key] for key in kept}
    percent = f'{100 * comparison.settings.confidence:g} %'
    plots = {
        'differences.png': plot_differences(
            groups, names, f'Differences with {percent} intervals'),
        'errors.png': plot_bars(
            comparison.errors, names, 'points of mask AP50',
            'What mending each kind of error would add'),
    }
    if comparison.num_common:
        plots['bands.png'] = plot_bars(
            comparison.bands, names,
            f'mean IoU (%) of {comparison.num_common} instances both found; '
            'bands in % of the diagonal',
            'Masks by distance from the outline')
    plots['confusion.png'] = plot_confusions(
        dict(zip(names, comparison.confusion)),
        comparison.annotations.classes)
    return plots


def draw_row(comparison: Comparison, row: ImageRow,
             images: Optional[Path] = None) -> np.ndarray:
    """Draw ground truth and both models' sure detections of an image.

    Args:
        comparison: Of what.
        row: The image.
        images: Folder of the images, see :func:`write_comparison`.

    Returns:
        (H, W, 3) uint8, BGR: three panels.
    """
    info = comparison.annotations.images[row.index]
    image = _read_image(images, info.file_name, info.height, info.width)
    scale = max(_LONG_SIDE_PX // max(info.height, info.width), 1)
    truth = comparison.annotations.truth[row.index]
    several = len(comparison.classes) > 1
    classes = comparison.annotations.classes
    names = [classes[k] for k in truth.labels] if several else None
    colors = [_IGNORED if ignored else _hue(i)
              for i, ignored in enumerate(truth.ignored)]
    masks = _decode(truth.masks, image.shape)
    panels = [draw_instances(image, masks, names, scale, colors)]
    titles = [f'ground truth: {row.num_truth}']
    for m, (name, outcome) in enumerate(
            zip(comparison.names, (row.a, row.b))):
        masks, colors, captions = _found(comparison, row.index, m)
        panels.append(
            draw_instances(image, _decode(masks, image.shape),
                           captions if several else None, scale, colors))
        titles.append(_title(name, outcome))
    return join_panels([_widened(panel) for panel in panels], titles)


def _widened(panel: np.ndarray) -> np.ndarray:
    missing = max(_LEAST_WIDTH_PX - panel.shape[1], 0)
    return np.pad(panel, ((0, 0), (0, missing), (0, 0)))


def _title(name: str, outcome: Outcome) -> str:
    # A panel's bar is narrow: the end of a long name gives way.
    name = name if len(name) <= 28 else f'{name[:25]}...'
    return (f'{name}: {outcome.right} right, {outcome.wrong} wrong, '
            f'{outcome.missed} missed')


def _hue(index: int) -> Tuple[int, int, int]:
    """Blues and violets, which mean nothing in the other panels."""
    hue = 95 + (index * 0.61803398875) % 1.0 * 55
    pixel = np.array([[[round(hue), 190, 255]]], np.uint8)
    blue, green, red = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0]
    return int(blue), int(green), int(red)


def _found(comparison: Comparison, i: int, m: int) -> tuple:
    """Return masks, colours and captions, missed instances below all."""
    model, truth = comparison.models[m], comparison.annotations.truth[i]
    classes = comparison.annotations.classes
    pairs, found = model.pairs[i], model.found[i].take(model.sure[i])
    hit = np.isin(np.arange(len(truth.labels)),
                  pairs.truth[pairs.same_class])
    missed = np.flatnonzero(~hit & ~truth.ignored)
    masks = [truth.masks[g] for g in missed]
    colors = [_MISSED] * len(missed)
    captions = [f'no {classes[truth.labels[g]]}' for g in missed]
    # Weak detections first, so that sure ones lie on top.
    for d in range(len(found.labels))[::-1]:
        masks.append(found.masks[d])
        color = _RIGHT if pairs.same_class[d] else _WRONG
        colors.append(_IGNORED if pairs.ignored[d] else color)
        captions.append(f'{classes[found.labels[d]]} {found.scores[d]:.2f}')
    return masks, colors, captions


def _decode(masks: Sequence[dict], shape: Tuple[int, ...]) -> np.ndarray:
    if not masks:
        return np.zeros((0, *shape[:2]), bool)
    decoded = mask_api.decode(list(masks))  # (H, W, N)
    return decoded.transpose(2, 0, 1).astype(bool)


def _read_image(folder: Optional[Path], file_name: str, height: int,
                width: int) -> np.ndarray:
    if folder is None:
        return np.full((height, width, 3), 90, np.uint8)
    path = folder / file_name
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f'{path} is missing or no image; `images` '
                                "must be the folder that the annotations' "
                                'file names are relative to.')
    if image.shape[:2] != (height, width):
        raise ValueError(
            f'{path} must be {width} x {height} pixels as its annotation '
            f'says, got {image.shape[1]} x {image.shape[0]}.')
    return image
