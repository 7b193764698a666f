"""The embedded data set: pictures of shapes with COCO annotations.

Each picture depends on its seed, split and index alone: a larger set starts
with the pictures of a smaller one. Pixels and annotations are the same on
any machine; the bytes of the PNG files may differ, as they depend on the
encoder.
"""
import json
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import cv2

from mmseghead.utils.files import PathLike, atomic_write
from mmseghead.utils.folders import atomic_folder
from .coco_json import mask_to_annotation
from .shapes_drawing import SHAPE_CLASSES, RandomStream, Scene, draw_scene

# Raise it with any change of pixels or annotations: sets on disk that carry
# another version are built anew.
GENERATOR_VERSION = 1
GENERATOR_NAME = 'mmseghead shapes'

_SPLITS = ('train', 'val')

Progress = Callable[[int, int], None]


def shapes_scene(split: str, index: int, seed: int = 0,
                 image_size: int = 256) -> Scene:
    """Draw one picture of the data set.

    Args:
        split: ``'train'`` or ``'val'``.
        index: Position in the split, from 0.
        seed: The set's seed.
        image_size: Height and width in pixels, >= 32.

    Returns:
        (H, W, 3) uint8 RGB picture and its 1 to 10 instances.
    """
    stream = RandomStream(seed, _SPLITS.index(split), index)
    return draw_scene(stream, image_size)


def generate_shapes(out_dir: PathLike,
                    num_train: int = 600,
                    num_val: int = 150,
                    seed: int = 0,
                    image_size: int = 256,
                    progress: Optional[Progress] = None) -> bool:
    """Write the shapes data set, or keep the one that is there.

    Layout: ``{train,val}/000001.png`` and ``{train,val}.json``. The set is
    built in a temporary folder beside ``out_dir`` and then renamed, so that
    ``out_dir`` is never half-written. A complete set with the same settings
    is kept; an incomplete one, or one with other settings, is replaced.

    Args:
        out_dir: The data set's folder.
        num_train: Pictures to train on, >= 1.
        num_val: Pictures to validate on, >= 1.
        seed: Any integer from 0 to 2**63 - 1.
        image_size: Height and width in pixels, >= 32.
        progress: Called with (pictures written, pictures in all).

    Returns:
        Whether the set was written; False when it was there already.

    Raises:
        ValueError: if an argument is out of its range.
        FileExistsError: if ``out_dir`` holds files that this function has
            not written.
    """
    for name, value, low in (('num_train', num_train, 1),
                             ('num_val', num_val, 1), ('seed', seed, 0),
                             ('image_size', image_size, 32)):
        if not isinstance(value, int) or not low <= value < 1 << 63:
            raise ValueError(f'`{name}` of generate_shapes must be an int '
                             f'>= {low}, got {value!r}.')
    out_dir = Path(out_dir)
    infos = {
        split: _info(split, count, seed, image_size)
        for split, count in zip(_SPLITS, (num_train, num_val))
    }
    if all(_is_complete(out_dir, split, infos[split]) for split in _SPLITS):
        return False
    _refuse_foreign_files(out_dir)
    with atomic_folder(out_dir) as building:
        _write_splits(building, infos, progress)
    return True


def _info(split: str, count: int, seed: int, image_size: int) -> Dict:
    return dict(
        description='Shapes drawn by mmseghead',
        generator=GENERATOR_NAME,
        version=GENERATOR_VERSION,
        split=split,
        seed=seed,
        num_images=count,
        image_size=image_size)


def _write_splits(folder: Path, infos: Dict[str, Dict],
                  progress: Optional[Progress]) -> None:
    total = sum(info['num_images'] for info in infos.values())
    done = 0
    for split, info in infos.items():
        (folder / split).mkdir()
        images: List[Dict] = []
        annotations: List[Dict] = []
        for index in range(info['num_images']):
            image, found = _write_image(folder, info, index)
            for annotation in found:
                annotation['id'] = len(annotations) + 1
                annotations.append(annotation)
            images.append(image)
            done += 1
            if progress is not None:
                progress(done, total)
        categories = [
            dict(id=i + 1, name=name) for i, name in enumerate(SHAPE_CLASSES)
        ]
        with atomic_write(folder / f'{split}.json') as file:
            json.dump(
                dict(
                    info=info,
                    images=images,
                    annotations=annotations,
                    categories=categories), file)


def _write_image(folder: Path, info: Dict,
                 index: int) -> Tuple[Dict, List[Dict]]:
    """Write a picture; return its COCO image and annotations, no ids yet."""
    scene = shapes_scene(info['split'], index, info['seed'],
                         info['image_size'])
    image = dict(
        id=index + 1,
        file_name=f'{index + 1:06d}.png',
        height=scene.image.shape[0],
        width=scene.image.shape[1])
    path = folder / info['split'] / image['file_name']
    if not cv2.imwrite(str(path), scene.image[..., ::-1]):
        raise OSError(f'Cannot write {path}.')
    annotations = [
        dict(
            id=0,
            image_id=image['id'],
            category_id=instance.label + 1,
            iscrowd=0,
            **mask_to_annotation(instance.mask))
        for instance in scene.instances
    ]
    return image, annotations


def _is_complete(out_dir: Path, split: str, info: Dict) -> bool:
    """Whether a split with exactly these settings lies in ``out_dir``."""
    try:
        content = json.loads((out_dir / f'{split}.json').read_text('utf-8'))
        sizes = [(out_dir / split / image['file_name']).stat().st_size
                 for image in content['images']]
        return content['info'] == info and all(sizes) and len(
            sizes) == info['num_images']
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _refuse_foreign_files(out_dir: Path) -> None:
    """Raise FileExistsError rather than replace somebody else's files."""
    if not out_dir.exists():
        return
    expected = set(_SPLITS) | {f'{split}.json' for split in _SPLITS}
    foreign = sorted({path.name for path in out_dir.iterdir()} - expected)
    for split in _SPLITS:
        path = out_dir / f'{split}.json'
        if path.exists() and GENERATOR_NAME not in path.read_text(
                'utf-8', errors='replace')[:1000]:
            foreign.append(path.name)
    if foreign:
        raise FileExistsError(
            f'`out_dir` of generate_shapes must be new, empty or a shapes '
            f'data set, but {out_dir} holds {", ".join(foreign[:5])}. Choose '
            'another folder or move these files away.')
