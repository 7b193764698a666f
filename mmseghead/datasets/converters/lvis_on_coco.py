"""LVIS annotations on the 80 classes of COCO, for AP*.

LVIS outlines objects of COCO's images more exactly than COCO does, so that
fine masks show their worth there. Kirillov et al., "PointRend" (CVPR 2020),
section 4.1, introduced the number; RefineMask and EffSeg report it.
"""
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mmdet.datasets import CocoDataset

from mmseghead.utils import atomic_write

#: WordNet synsets of COCO's classes, in their order (LVIS's own mapping).
COCO_SYNSETS = tuple('''
    person.n.01 bicycle.n.01 car.n.01 motorcycle.n.01 airplane.n.01 bus.n.01
    train.n.01 truck.n.01 boat.n.01 traffic_light.n.01 fireplug.n.01
    stop_sign.n.01 parking_meter.n.01 bench.n.01 bird.n.01 cat.n.01 dog.n.01
    horse.n.01 sheep.n.01 beef.n.01 elephant.n.01 bear.n.01 zebra.n.01
    giraffe.n.01 backpack.n.01 umbrella.n.01 bag.n.04 necktie.n.01 bag.n.06
    frisbee.n.01 ski.n.01 snowboard.n.01 ball.n.06 kite.n.03
    baseball_bat.n.01 baseball_glove.n.01 skateboard.n.01 surfboard.n.01
    tennis_racket.n.01 bottle.n.01 wineglass.n.01 cup.n.01 fork.n.01
    knife.n.01 spoon.n.01 bowl.n.03 banana.n.02 apple.n.01 sandwich.n.01
    orange.n.01 broccoli.n.01 carrot.n.01 frank.n.02 pizza.n.01
    doughnut.n.02 cake.n.03 chair.n.01 sofa.n.01 pot.n.04 bed.n.01
    dining_table.n.01 toilet.n.02 television_receiver.n.01 laptop.n.01
    mouse.n.04 remote_control.n.01 computer_keyboard.n.01
    cellular_telephone.n.01 microwave.n.02 oven.n.01 toaster.n.02 sink.n.01
    electric_refrigerator.n.01 book.n.01 clock.n.01 vase.n.01 scissors.n.01
    teddy.n.01 hand_blower.n.01 toothbrush.n.01
'''.split())
# COCO's category ids run from 1 to 90 with these left out.
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_FEDERATED = ('neg_category_ids', 'not_exhaustive_category_ids')


@dataclass(frozen=True)
class CocofiedReport:
    """What :func:`convert_lvis_to_coco_classes` wrote."""
    images: int
    annotations: int
    absent_classes: Tuple[str, ...]


def coco_categories() -> List[Dict[str, Any]]:
    """Return COCO's categories with their synsets, in COCO's order."""
    ids = [i for i in range(1, 91) if i not in _UNUSED_IDS]
    names = CocoDataset.METAINFO['classes']
    return [
        dict(id=i, name=name, synset=synset)
        for i, name, synset in zip(ids, names, COCO_SYNSETS)
    ]


def convert_lvis_to_coco_classes(
        source: Path,
        target: Path,
        images: Optional[Path] = None) -> CocofiedReport:
    """Write the annotations of LVIS that belong to COCO's classes.

    Args:
        source: A JSON of LVIS (v0.5 or v1), e.g. ``lvis_v1_val.json``.
        target: The JSON to write, for ``CocoMetric(federated=True)``. Image
            ids are LVIS's, which are COCO's; category ids are COCO's; the
            lists of absent and of incompletely annotated classes are mapped
            too.
        images: A COCO JSON; keep only its images. LVIS's validation set is
            larger than COCO's.

    Returns:
        Counts, and the classes of COCO that the source does not have.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the source is not of LVIS's kind, or no image is left.
    """
    lvis = _read(source)
    # Synset -> id in COCO, for those that LVIS has.
    wanted = {item['synset']: item['id'] for item in coco_categories()}
    new_ids = {
        item['id']: wanted[item['synset']]
        for item in lvis['categories'] if item['synset'] in wanted
    }
    kept = None
    if images is not None:
        kept = {image['id'] for image in _read(images, lvis=False)['images']}
    result: Dict[str, Any] = dict(
        images=[
            _mapped_image(image, new_ids) for image in lvis['images']
            if kept is None or image['id'] in kept
        ],
        categories=coco_categories())
    if not result['images']:
        raise ValueError(f'{images} and {source} have no image in common; '
                         'give the COCO file of the same pictures, e.g. '
                         'instances_val2017.json for lvis_v1_val.json.')
    left = {image['id'] for image in result['images']}
    result['annotations'] = [
        dict(annotation, category_id=new_ids[annotation['category_id']],
             iscrowd=0) for annotation in lvis['annotations']
        if annotation['category_id'] in new_ids
        and annotation['image_id'] in left
    ]
    with atomic_write(Path(target)) as file:
        json.dump(result, file)
    counts = Counter(new_ids.values())
    return CocofiedReport(
        len(result['images']), len(result['annotations']),
        tuple(item['name'] for item in coco_categories()
              if not counts[item['id']]))


def _mapped_image(image: Dict[str, Any],
                  new_ids: Dict[int, int]) -> Dict[str, Any]:
    mapped = {
        key: [new_ids[old] for old in image[key] if old in new_ids]
        for key in _FEDERATED
    }
    return {**image, **mapped}


def _read(path: Path, lvis: bool = True) -> Dict[str, Any]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no annotation file {path}.')
    try:
        content = json.loads(path.read_text('utf-8'))
        if lvis:
            for image in content['images']:
                for key in _FEDERATED:
                    image[key]
            for item in content['categories']:
                item['synset']
            content['annotations']
        else:
            content['images']
    except (ValueError, KeyError, TypeError) as error:
        kind = 'LVIS' if lvis else 'COCO'
        raise ValueError(f'{path} must be a JSON of {kind}, but reading it '
                         f'failed at {error!r}.') from error
    return content
