"""What a config's data sets feed to the model, as pictures."""
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmseghead.datasets.seeded_sampler import SeededIndex, seeded
from mmseghead.utils.files import atomic_write
from mmseghead.utils.seeds import derive_seed
from mmseghead.visualization.instances import encode_png, join_panels
from mmseghead.visualization.samples import Sample, contact_sheet, draw_sample

SPLITS = ('train', 'val', 'test')
_LONG_SIDE_PX = 640  # smaller images are enlarged up to this


def build_dataset(cfg: Config, split: str) -> Any:
    """Build a data set of a config, its pipeline included.

    Args:
        cfg: The config.
        split: One of ``SPLITS``.

    Raises:
        ValueError: if the split is unknown.
        KeyError: if the config has no such data loader.
    """
    if split not in SPLITS:
        raise ValueError(f'`split` of build_dataset must be one of {SPLITS}, '
                         f'got {split!r}.')
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise KeyError(f'The config has no `{split}_dataloader`; it has '
                       f'{[s for s in SPLITS if cfg.get(s + "_dataloader")]}.')
    init_default_scope(cfg.get('default_scope', 'mmseghead'))
    dataset = DATASETS.build(loader.dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    return dataset


def choose_indices(count: int, num: Optional[int],
                   random_seed: Optional[int] = None) -> List[int]:
    """Choose some of a data set's samples.

    Args:
        count: Samples there are.
        num: How many to choose at most; None: all.
        random_seed: Draw them with this seed; None spreads them evenly.

    Returns:
        Different indices, ascending.

    Raises:
        ValueError: if ``num`` is less than 1.
    """
    if num is not None and num < 1:
        raise ValueError(f'`num` of images must be an int >= 1, got {num!r}.')
    num = count if num is None else min(num, count)
    if random_seed is None:
        picks = np.linspace(0, count - 1, num).round().astype(int)
    else:
        picks = np.random.default_rng(random_seed).choice(
            count, num, replace=False)
    return sorted(int(pick) for pick in picks)


def read_sample(dataset: Any, index: int, seed: int = 0) -> Sample:
    """Return a sample as the pipeline gives it.

    Args:
        dataset: The data set.
        index: Of the sample.
        seed: Of the sample's random draws.

    Raises:
        ValueError: if the pipeline does not pack its results.
    """
    drawn = SeededIndex(index, derive_seed(seed, index))
    with seeded(drawn):
        packed = dataset[drawn]
    if not isinstance(packed, dict) or 'data_samples' not in packed:
        raise ValueError(
            'The last step of the pipeline must pack its results, as '
            f'PackDetInputs does, got {type(packed).__name__}'
            f'{sorted(packed) if isinstance(packed, dict) else ""}.')
    image = _image_of(packed['inputs'])
    item = packed['data_samples']
    names = dataset.metainfo.get('classes', ())
    boxes, masks, captions, counts = [], [], [], []
    for key in ('gt_instances', 'ignored_instances'):
        part = item.get(key)
        labels = [] if part is None else part.get('labels', [])
        counts.append(len(labels))
        boxes.append(_boxes_of(part, len(labels)))
        masks.append(_masks_of(part, image.shape[:2]))
        captions += _captions(names, labels, key == 'ignored_instances')
    joined = None
    if any(mask is not None for mask in masks):
        joined = np.concatenate([
            _in_frame(np.zeros((count, *image.shape[:2]), bool)
                      if mask is None else mask, image)
            for mask, count in zip(masks, counts)])
    all_boxes = np.concatenate(boxes)
    if _in_original_pixels(item, masks, image):
        width, height = item.scale_factor[:2]
        all_boxes = all_boxes * (width, height, width, height)
    return Sample(image, all_boxes, joined, captions, counts[1],
                  _title(item, image, counts))


def _image_of(inputs: Any) -> np.ndarray:
    """Return (H, W, 3) uint8, BGR, of a packed image (C, H, W)."""
    pixels = inputs.detach().cpu().numpy().transpose(1, 2, 0)
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return np.ascontiguousarray(np.clip(pixels[..., :3], 0,
                                        255).astype(np.uint8))


def _captions(names: Sequence[str], labels: Any,
              ignored: bool) -> List[str]:
    """Return class names, which go without saying if there is only one."""
    texts = []
    for label in map(int, labels):
        known = 0 <= label < len(names)
        text = names[label] if known else f'class {label}'
        if known and len(names) == 1:
            text = ''
        texts.append(f'ignored {text}'.strip() if ignored else text)
    return texts


def _boxes_of(instances: Any, count: int) -> np.ndarray:
    boxes = None if instances is None else instances.get('bboxes')
    boxes = getattr(boxes, 'tensor', boxes)
    if boxes is None or not count:
        return np.zeros((count, 4))
    return np.asarray(boxes, float).reshape(-1, 4)


def _masks_of(instances: Any,
              shape: Tuple[int, int]) -> Optional[np.ndarray]:
    """Return masks (N, H', W'), from contours if those replace them."""
    if instances is None:
        return None
    if 'masks' in instances:
        return instances.masks.to_ndarray().astype(bool)
    if 'contours' not in instances:
        return None
    masks = np.zeros((len(instances.contours), *shape), np.uint8)
    for mask, contour, length in zip(masks, instances.contours,
                                     instances.contour_lengths):
        points = np.asarray(contour[:int(length)], np.int32)
        if len(points):
            cv2.fillPoly(mask, [points], 1)
    return masks.astype(bool)


def _in_original_pixels(item: Any, masks: Sequence[Optional[np.ndarray]],
                        image: np.ndarray) -> bool:
    """Whether ground truth stayed as it was while the image was resized."""
    if 'scale_factor' not in item or 'ori_shape' not in item:
        return False
    shapes = {mask.shape[1:] for mask in masks
              if mask is not None and len(mask)}
    return bool(shapes) and image.shape[:2] not in shapes and shapes == {
        tuple(item.ori_shape)}


def _in_frame(masks: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Bring masks (N, H', W') to the image's size."""
    height, width = image.shape[:2]
    if masks.shape[1:] == (height, width):
        return masks
    resized = [cv2.resize(mask.astype(np.uint8), (width, height),
                          interpolation=cv2.INTER_NEAREST) for mask in masks]
    return np.array(resized, bool).reshape(-1, height, width)


def _title(item: Any, image: np.ndarray, counts: Sequence[int]) -> str:
    parts = [Path(item.get('img_path') or '').name,
             f'{image.shape[1]}x{image.shape[0]}', f'{counts[0]} instances']
    if counts[1]:
        parts.append(f'{counts[1]} ignored')
    if item.get('flip'):
        parts.append(f'flipped {item.get("flip_direction")}')
    return ', '.join(part for part in parts if part)


def browse(cfg: Config, split: str = 'train', *,
           num: Optional[int] = 8, random_seed: Optional[int] = None,
           draws: int = 1, seed: int = 0,
           with_boxes: bool = True) -> Dict[str, np.ndarray]:
    """Draw samples of a config's data set as the model gets them.

    Args:
        cfg: The config.
        split: ``train``, ``val`` or ``test``.
        num: How many images; None: all.
        random_seed: Draw them at random; None spreads them evenly.
        draws: How often to augment each image, side by side.
        seed: Of the augmentation.
        with_boxes: Whether to draw boxes besides masks.

    Returns:
        Name of a picture -> (H, W, 3) uint8, BGR.

    Raises:
        ValueError: if a number is less than 1.
        FileNotFoundError: if data are missing.
    """
    if draws < 1:
        raise ValueError(f'`draws` of browse must be an int >= 1, got '
                         f'{draws!r}.')
    dataset = build_dataset(cfg, split)
    pictures = {}
    for index in choose_indices(len(dataset), num, random_seed):
        samples = [read_sample(dataset, index, seed + draw)
                   for draw in range(draws)]
        name = re.sub(r'[^\w.-]', '_',
                      Path(samples[0].title.split(',')[0]).stem)
        pictures[f'{index:06d}_{name}.png'] = _side_by_side(
            samples, with_boxes)
    return pictures


def _side_by_side(samples: Sequence[Sample],
                  with_boxes: bool) -> np.ndarray:
    panels = []
    for sample in samples:
        scale = max(_LONG_SIDE_PX // max(sample.image.shape[:2]), 1)
        panels.append(draw_sample(sample, scale, with_boxes))
    height = max(panel.shape[0] for panel in panels)
    padded = [np.pad(panel, ((0, height - panel.shape[0]), (0, 0), (0, 0)),
                     constant_values=255) for panel in panels]
    return join_panels(padded, [sample.title for sample in samples])


def write_pictures(pictures: Dict[str, np.ndarray], folder: Path) -> None:
    """Write each picture into a folder, whole.

    Args:
        pictures: File name -> picture.
        folder: Made if it is missing.
    """
    for name, picture in pictures.items():
        with atomic_write(folder / name, 'wb') as file:
            file.write(encode_png(picture))


def write_sheet(pictures: Dict[str, np.ndarray], path: Path,
                columns: int) -> None:
    """Write all pictures on one sheet.

    Args:
        pictures: File name -> picture.
        path: The PNG file.
        columns: Pictures a row.
    """
    sheet = encode_png(contact_sheet(list(pictures.values()), columns))
    with atomic_write(path, 'wb') as file:
        file.write(sheet)
