"""From the 2018 Data Science Bowl's folders to COCO JSON."""
import hashlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from mmseghead.utils.files import PathLike, atomic_write
from mmseghead.utils.folders import atomic_folder
from ..coco_json import mask_to_annotation

_SPLITS = ('train', 'val')


class Report(NamedTuple):
    """What a conversion has found.

    ``images`` and ``instances`` are counts by split; ``empty_masks`` are
    files without a pixel, left out; ``overlaps`` says for each image id with
    overlapping masks, which are kept as they are, how many pixels overlap.
    """

    images: Dict[str, int]
    instances: Dict[str, int]
    empty_masks: List[str]
    overlaps: Dict[str, int]


def split_of(image_id: str, val_percent: int) -> str:
    """Return the split of an image, by a hash of its id alone.

    So the split is the same on any machine, and adding images moves none.
    """
    digest = hashlib.sha256(image_id.encode()).digest()
    is_val = int.from_bytes(digest[:8], 'big') % 100 < val_percent
    return 'val' if is_val else 'train'


def convert_dsb2018(
        source: PathLike,
        out_dir: PathLike,
        val_percent: int = 25,
        progress: Optional[Callable[[int, int], None]] = None) -> Report:
    """Convert ``stage1_train`` to the layout of ``data/nuclei``.

    Reads ``<id>/images/<id>.png`` and ``<id>/masks/*.png``, one nucleus per
    mask. Writes ``{train,val}/<id>.png`` in RGB and ``{train,val}.json`` with
    the one category ``nucleus``. ``out_dir`` appears when it is complete.

    Args:
        source: The unpacked ``stage1_train``.
        out_dir: A new or empty folder.
        val_percent: Share of images to validate on, 1 to 99.
        progress: Called with (images written, images in all).

    Returns:
        Counts, and oddities worth a look.

    Raises:
        FileExistsError: if ``out_dir`` holds files.
        FileNotFoundError: if ``source`` holds no image folders, or one of
            them no image or no masks.
        ValueError: if ``val_percent`` is out of range, a file cannot be
            read, a mask and its image differ in size, or a split is empty.
    """
    if not isinstance(val_percent, int) or not 1 <= val_percent <= 99:
        raise ValueError('`val_percent` of convert_dsb2018 must be an int '
                         f'from 1 to 99, got {val_percent!r}.')
    source, out_dir = Path(source), Path(out_dir)
    if out_dir.exists() and any(out_dir.iterdir()):
        raise FileExistsError(
            f'`out_dir` of convert_dsb2018 must be new or empty, but '
            f'{out_dir} holds files. Choose another folder or remove it.')
    folders = _image_folders(source)
    names = {split: [] for split in _SPLITS}
    for folder in folders:
        names[split_of(folder.name, val_percent)].append(folder)
    for split, members in names.items():
        if not members:
            raise ValueError(f'No image of {source} falls into {split} with '
                             f'`val_percent` {val_percent}: it holds only '
                             f'{len(folders)} images.')
    report = Report({}, {}, [], {})
    with atomic_folder(out_dir) as building:
        for split, members in names.items():
            _convert_split(building, split, members, report, len(folders),
                           progress)
    return report


def _image_folders(source: Path) -> List[Path]:
    folders = sorted(source.glob('*/images')) if source.is_dir() else []
    if not folders:
        raise FileNotFoundError(
            f'`source` of convert_dsb2018 must be the unpacked stage1_train, '
            f'with <id>/images and <id>/masks; {source} has no such folders.')
    return [folder.parent for folder in folders]


def _convert_split(out_dir: Path, split: str, folders: List[Path],
                   report: Report, total: int,
                   progress: Optional[Callable[[int, int], None]]) -> None:
    done = sum(report.images.values())
    (out_dir / split).mkdir()
    images: List[Dict[str, Any]] = []
    annotations: List[Dict[str, Any]] = []
    for image_id, folder in enumerate(folders, 1):
        pixels, masks = _read(folder, report)
        file_name = f'{folder.name}.png'
        if not cv2.imwrite(str(out_dir / split / file_name), pixels):
            raise OSError(f'Cannot write {out_dir / split / file_name}.')
        images.append(
            dict(
                id=image_id,
                file_name=file_name,
                height=pixels.shape[0],
                width=pixels.shape[1]))
        for mask in masks:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    **mask_to_annotation(mask)))
        if progress is not None:
            progress(done + image_id, total)
    report.images[split] = len(images)
    report.instances[split] = len(annotations)
    with atomic_write(out_dir / f'{split}.json') as file:
        json.dump(
            dict(
                info=dict(description='DSB2018 stage1 nuclei, CC0'),
                images=images,
                annotations=annotations,
                categories=[dict(id=1, name='nucleus')]), file)


def _read(folder: Path,
          report: Report) -> Tuple[np.ndarray, List[np.ndarray]]:
    """Return (H, W, 3) uint8 BGR pixels and (H, W) bool masks."""
    path = folder / 'images' / f'{folder.name}.png'
    pixels = _read_image(path, cv2.IMREAD_COLOR)
    files = sorted((folder / 'masks').glob('*.png'))
    if not files:
        raise FileNotFoundError(f'{folder / "masks"} holds no masks (*.png).')
    masks = []
    covered = np.zeros(pixels.shape[:2], dtype=np.int32)
    for file in files:
        mask = _read_image(file, cv2.IMREAD_GRAYSCALE) > 0
        if mask.shape != covered.shape:
            raise ValueError(
                f'A mask must have the height and width of its image, '
                f'{covered.shape}, but {file} has {mask.shape}.')
        if not mask.any():
            report.empty_masks.append(str(file))
            continue
        covered += mask
        masks.append(mask)
    overlap = int((covered > 1).sum())
    if overlap:
        report.overlaps[folder.name] = overlap
    return pixels, masks


def _read_image(path: Path, flag: int) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist.')
    pixels = cv2.imdecode(np.fromfile(path, dtype=np.uint8), flag) \
        if path.stat().st_size else None
    if pixels is None:
        raise ValueError(f'{path} cannot be read as an image; it may be '
                         'cut off. Unpack the archive again.')
    return pixels
