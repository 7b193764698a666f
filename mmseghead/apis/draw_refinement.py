"""The stages of masks that a trained model refines, on real images."""
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmseghead.utils.files import atomic_write
from mmseghead.visualization.instances import draw_instances, join_panels
from mmseghead.visualization.refinement import draw_refinement, stack_pictures
from .stages import replaced


def draw_refinement_stages(cfg: Config,
                           images: Sequence[str],
                           out_dir: str,
                           *,
                           checkpoint: str,
                           max_instances: int = 4,
                           score_thr: float = 0.5,
                           device: str = 'cpu') -> List[Path]:
    """Draw how a sparse mask head comes to its masks.

    For each image all masks, and for its best detections the cells that each
    stage computed and the mask so far.

    Args:
        cfg: Config of a model whose mask head returns ``grids``, as EffSeg.
        images: Pictures.
        out_dir: Folder for a PNG per picture.
        checkpoint: Weights of the model.
        max_instances: Detections to draw in detail, the best first.
        score_thr: Detections below are left out.
        device: ``'cpu'`` or ``'cuda:0'``.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: if an image is missing or unreadable.
        ValueError: if the model has no such head.
    """
    model = init_detector(cfg, checkpoint, device=device)
    head = getattr(getattr(model, 'roi_head', None), 'mask_head', None)
    if not hasattr(head, 'mask_logits'):
        raise ValueError(
            'draw_refinement_stages needs a model with EffSegMaskHead, got '
            f'{type(head).__name__} of {cfg.filename}.')
    written = []
    for image in images:
        picture = cv2.imread(str(image), cv2.IMREAD_COLOR)
        if picture is None:
            raise FileNotFoundError(f'{image} is missing or no image.')
        found, rois, stages = _segment(model, head, picture)
        rows = (found.scores >= score_thr).nonzero()[:, 0].tolist()
        masks = found.masks[rows].numpy()
        overview = join_panels([draw_instances(picture, masks)],
                               [f'{len(masks)} masks'])
        panels = [overview]
        for row in rows[:max_instances]:
            # Several classes may share a box, which was segmented once.
            box = found.bboxes[row]
            match = int((rois - box).abs().sum(1).argmin())
            panels.append(
                draw_refinement(picture, rois[match].tolist(),
                                [(a[match], p[match]) for a, p in stages]))
        path = Path(out_dir) / f'{Path(image).stem}.png'
        _, encoded = cv2.imencode('.png', stack_pictures(panels))
        with atomic_write(path, 'wb') as file:
            file.write(encoded.tobytes())
        written.append(path)
    return written


def _segment(
    model: torch.nn.Module, head: torch.nn.Module, picture: np.ndarray
) -> Tuple[InstanceData, torch.Tensor, List[Tuple[np.ndarray, np.ndarray]]]:
    """Return detections, segmented boxes (R, 4) and the maps of the stages.

    Boxes are in pixels of the picture. A stage's maps are (R, S, S): which
    cells were computed, and probabilities.
    """
    seen: Dict[str, Any] = {}

    def remembering(original):

        def forward(x, rois, inst_feats=None):
            seen.update(rois=rois, outputs=original(x, rois, inst_feats))
            return seen['outputs']

        return forward

    with replaced(head, 'forward', remembering):
        result = inference_detector(model, picture)
    if not seen:
        return result.pred_instances.cpu(), torch.zeros(0, 4), []
    factor = torch.tensor(result.scale_factor).repeat(2)
    rois = seen['rois'][:, 1:].float().cpu() / factor
    stages = []
    for grid, logits in zip(seen['outputs']['grids'],
                            head.mask_logits(seen['outputs'])):
        active = grid.index < grid.num_active
        stages.append((active.cpu().numpy(),
                       logits[:, 0].sigmoid().cpu().numpy()))
    return result.pred_instances.cpu(), rois, stages
