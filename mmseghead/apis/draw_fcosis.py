"""What FCOSIS sees in an image: cues, attention maps and masks."""
from pathlib import Path
from typing import List

import cv2
import numpy as np
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config

from mmseghead.functional.map_regions import resize_by_stride
from mmseghead.utils.files import atomic_write
from mmseghead.visualization.fields import (color_wheel, draw_direction_field,
                                            draw_signed_map)
from mmseghead.visualization.instances import draw_instances, join_panels
from .stages import replaced

_HEIGHT_PX = 384
_MAX_COLORS = 4


def draw_fcosis(cfg: Config,
                checkpoint: str,
                image: str,
                out: str,
                score_thr: float = 0.3,
                device: str = 'cpu') -> Path:
    """Draw the paper's Figures 3 and 4 and the masks for one image.

    From left to right: the masks; the coarse segmentation and the centre
    regression, each location from the level of the smallest stride where an
    instance is near; and the attention map of each colour, at stride 4, with
    the instances that share it.

    Args:
        cfg: Config of a FCOSIS model with attention.
        checkpoint: Its weights.
        image: The picture.
        out: PNG to write.
        score_thr: Detections below are left out, before maps are shared.
        device: ``'cpu'`` or ``'cuda:0'``.

    Returns:
        The file written.

    Raises:
        FileNotFoundError: if the image is missing or unreadable.
        ValueError: if the model has no attention maps.
    """
    picture = cv2.imread(image, cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f'{image} is missing or no image.')
    cfg = cfg.copy()
    cfg.model.test_cfg.score_thr = score_thr
    model = init_detector(cfg, checkpoint, device=device)
    head = getattr(model, 'mask_head', None)
    if getattr(head, 'attention', None) is None:
        raise ValueError(
            'draw_fcosis needs a FCOSIS model with attention maps, got '
            f'{type(head).__name__} of {cfg.filename}.')
    seen = []

    def remembering(original):

        def plan_maps(cues, boxes, sizes):
            plan = original(cues, boxes, sizes)
            seen.append((cues[0], plan))
            return plan

        return plan_maps

    with replaced(head, 'plan_maps', remembering):
        found = inference_detector(model, image).pred_instances.cpu()
    panels = [draw_instances(picture, found.masks.numpy())]
    titles = [f'{len(found)} instances']
    if seen:
        cues, plan = seen[0]
        for title, panel in _cue_panels(cues, plan):
            titles.append(title)
            panels.append(panel)
    same = [
        cv2.resize(
            panel, (round(panel.shape[1] * _HEIGHT_PX / panel.shape[0]),
                    _HEIGHT_PX),
            interpolation=cv2.INTER_NEAREST) for panel in panels
    ]
    _, encoded = cv2.imencode('.png', join_panels(same, titles))
    path = Path(out)
    with atomic_write(path, 'wb') as file:
        file.write(encoded.tobytes())
    return path


def _cue_panels(cues, plan) -> List[tuple]:
    """Return (title, picture) of cues and attention, at stride 4."""
    size = tuple(plan.attention[0].shape[-2:])
    used = cues.levels.unique().tolist()
    coarse, field = torch.zeros(size), torch.zeros(2, *size)
    for level in used:
        predicted = cues.maps[level]
        maps = resize_by_stride(
            torch.cat((predicted.coarse.sigmoid()[None],
                       predicted.centers)).float().cpu(), predicted.stride, 4,
            size)
        sure = maps[0] > coarse
        coarse = torch.where(sure, maps[0], coarse)
        field = torch.where(sure, maps[1:], field)
    gray = (255 * coarse).round().numpy().astype(np.uint8)
    reach = max(float(field.norm(dim=0)[coarse > 0.5].max()), 1.0) if (
        coarse > 0.5).any() else 1.0
    wheel = draw_direction_field(field.numpy(), coarse.numpy(), reach)
    key = color_wheel(max(min(size) // 5, 8))
    wheel[:len(key), :len(key)] = key
    panels = [('coarse segmentation', cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)),
              ('towards the centre', wheel)]
    for color, values in enumerate(plan.attention[0][:_MAX_COLORS]):
        number = int((plan.places[0] == color).sum())
        values = values.cpu().numpy()
        panels.append((f'attention {color + 1}: {number} inst.',
                       draw_signed_map(values, max(abs(values).max(), 1e-6))))
    return panels
