"""Predictions for images in memory: whole, in tiles, or with several views."""
import copy
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmseghead.functional.mask_parts import masks_fit
from mmseghead.functional.mask_rle import EncodedMasks, to_rles
from mmseghead.functional.tile_merging import (Tile, TileDetections,
                                               merge_tiles, plan_tiles)
from mmseghead.registry import MODELS
from mmseghead.utils.mask_budget import (DEFAULT_MASK_BUDGET_MIB,
                                         set_mask_budget)
from .load_weights import load_weights
from .tta import enable_tta

#: Share of a tile's side that it has in common with the next one.
TILE_OVERLAP = 0.25
_FIELDS = ('bboxes', 'scores', 'labels', 'masks')
_LOADERS = ('LoadAnnotations', 'LoadPanopticAnnotations', 'LoadProposals')


class Predictor:
    """A model with its weights, ready for images.

    Args:
        cfg: A config of the zoo, as ``load_config`` returns it.
        checkpoint: File, URL or zoo name of the weights.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...
        tta: Use the config's test-time augmentation, or the default one.
        tile: Side of square tiles in pixels of the image; None: predict on
            the whole image, resized as in a test. A tile is resized likewise:
            tiles as large as the training images keep objects at the size
            that the model knows.
        overlap: See ``plan_tiles``.
        score_thr: Predictions below are left out.
        batch_size: Images, or tiles, that go through the model at once.

    Raises:
        FileNotFoundError: if the checkpoint is a file that does not exist.
        ValueError: if a number is out of its range, or the checkpoint is
            broken or of another model (see ``load_weights``).
    """

    def __init__(self,
                 cfg: Config,
                 checkpoint: str,
                 *,
                 device: str = 'cpu',
                 tta: bool = False,
                 tile: Optional[int] = None,
                 overlap: float = TILE_OVERLAP,
                 score_thr: float = 0.,
                 batch_size: int = 1) -> None:
        if batch_size < 1:
            raise ValueError('`batch_size` of Predictor must be at least 1, '
                             f'got {batch_size!r}.')
        if tile is not None:
            plan_tiles((1, 1), tile, overlap)  # complains of wrong numbers
        cfg = copy.deepcopy(cfg)
        if tta:
            enable_tta(cfg)
        self.tile, self.overlap = tile, overlap
        self.score_thr, self.batch_size = score_thr, batch_size
        self.cfg = cfg
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        set_mask_budget(cfg.get('mask_budget_mib', DEFAULT_MASK_BUDGET_MIB))
        model = _without_downloads(cfg.model)
        self.model = MODELS.build(model).to(device).eval()
        detector = self.model.module if tta else self.model
        load_weights(detector, checkpoint)
        self.pipeline = Compose(
            array_pipeline(cfg.test_dataloader.dataset.pipeline))
        self.classes: Tuple[str, ...] = tuple(class_names(cfg))

    def __call__(self, images: Sequence[np.ndarray]) -> List[InstanceData]:
        """Predict.

        Args:
            images: (H, W, 3) uint8, BGR; sizes may differ.

        Returns:
            Of each image, on the CPU and by falling score: ``bboxes`` (n, 4),
            ``scores``, ``labels`` and ``masks`` (n, H, W), bool or
            ``EncodedMasks`` as they fit the memory budget. In tiles, boxes
            are those of the masks.

        Raises:
            ValueError: if an image is no such array, or has no pixels; if
                tiles are to be merged of a model without masks.
        """
        for image in images:
            _check_image(image)
        if self.tile is None:
            return self._predict(images)
        return [self._in_tiles(image) for image in images]

    def _in_tiles(self, image: np.ndarray) -> InstanceData:
        size = image.shape[:2]
        tiles = plan_tiles(size, self.tile, self.overlap)
        if len(tiles) == 1:
            return self._predict([image])[0]
        found = []
        for i in range(0, len(tiles), self.batch_size):
            part = tiles[i:i + self.batch_size]
            crops = [_crop(image, tile) for tile in part]
            for tile, instances in zip(part, self._predict(crops)):
                if 'masks' not in instances:
                    raise ValueError('Tiles are merged by masks, and the '
                                     'model predicts none.')
                found.append(
                    TileDetections(tile, to_rles(instances.masks),
                                   instances.scores.numpy(),
                                   instances.labels.numpy()))
        merged = merge_tiles(found, size)
        masks = EncodedMasks(merged.masks, size)
        boxes = masks.boxes()
        if masks_fit(len(masks), size):
            masks = masks.to_tensor()
        return InstanceData(
            bboxes=boxes,
            scores=torch.from_numpy(merged.scores),
            labels=torch.from_numpy(merged.labels),
            masks=masks)

    @torch.no_grad()
    def _predict(self, images: Sequence[np.ndarray]) -> List[InstanceData]:
        results: Dict[int, InstanceData] = {}
        for begin in range(0, len(images), self.batch_size):
            groups: Dict[tuple, list] = {}
            for i, image in enumerate(images[begin:begin + self.batch_size]):
                data = self.pipeline(
                    dict(img=np.ascontiguousarray(image), img_id=0))
                groups.setdefault(_shapes(data['inputs']), []).append(
                    (begin + i, data))
            # Not together with larger ones: the padding would be seen by
            # norms over the whole map, and change what is found.
            for group in groups.values():
                batch = pseudo_collate([data for _, data in group])
                for (i, _), sample in zip(group, self.model.test_step(batch)):
                    results[i] = self._selected(sample.pred_instances.cpu())
        return [results[i] for i in range(len(images))]

    def _selected(self, found: InstanceData) -> InstanceData:
        """Return what is sure enough, without fields of single methods."""
        found = InstanceData(
            **{name: found[name] for name in _FIELDS if name in found})
        return found[found.scores >= self.score_thr]


def array_pipeline(pipeline: Sequence[dict]) -> List[dict]:
    """Turn a test pipeline into one for images in memory.

    Args:
        pipeline: It loads the image first; what loads annotations is left
            out.
    """
    # Deep: TestTimeAug puts what it builds into the lists it is given.
    steps = copy.deepcopy(list(pipeline))
    steps[0]['type'] = 'mmdet.LoadImageFromNDArray'
    result = []
    for step in steps:
        name = str(step['type']).split('.')[-1]
        if name == 'TestTimeAug':
            views = [
                view for view in step['transforms']
                if str(view[0]['type']).split('.')[-1] not in _LOADERS
            ]
            result.append(dict(step, transforms=views))
        elif name not in _LOADERS:
            result.append(step)
    return result


def class_names(cfg: Config) -> Sequence[str]:
    """Return the names of the classes that a config's model predicts."""
    if cfg.get('classes'):
        return cfg.classes
    dataset = cfg.test_dataloader.dataset
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        from mmseghead.registry import DATASETS
        classes = DATASETS.get(dataset.type).METAINFO['classes']
    return classes


def _shapes(inputs: Union[torch.Tensor, List[torch.Tensor]]) -> tuple:
    """Return the shape of an image, or of each view of it."""
    if isinstance(inputs, torch.Tensor):
        return tuple(inputs.shape)
    return tuple(tuple(view.shape) for view in inputs)


def _crop(image: np.ndarray, tile: Tile) -> np.ndarray:
    top, left, bottom, right = tile
    return image[top:bottom, left:right]


def _check_image(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or (
            image.ndim != 3 or image.shape[2] != 3 or not image.size):
        what = (f'{image.dtype} {image.shape}'
                if isinstance(image, np.ndarray) else type(image).__name__)
        raise ValueError('Images of Predictor must be (H, W, 3) uint8 arrays '
                         f'with pixels, got {what}.')


def _without_downloads(node: Any) -> Any:
    """Return a model's config that loads no weights when it is built."""
    if isinstance(node, dict):
        init = node.get('init_cfg')
        pretrained = isinstance(init, dict) and init.get('type') == 'Pretrained'
        return type(node)({
            key: None if key == 'init_cfg' and pretrained else
            _without_downloads(value)
            for key, value in node.items()
        })
    if isinstance(node, (list, tuple)):
        return type(node)(_without_downloads(item) for item in node)
    return node
