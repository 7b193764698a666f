"""Making a detector find a given number of instances in any image.

The cost of a RoI head or of dynamic convolutions depends on how much there is
to see. To compare methods, all of them are given the same number.

Legend: N instances, K score channels, H/W height and width of a score map.
"""
import contextlib
import inspect
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from .stages import replaced

#: A logit that any score threshold sees as certain (and its negative as
#: impossible), after a sigmoid, a softmax or as it is.
_CERTAIN = 20.0
_SCORE_NAMES = ('cls_scores', 'mlvl_cls_scores', 'cls_logits')


@contextlib.contextmanager
def fixed_instances(model: nn.Module, proposals: int, instances: int,
                    img_shape: Tuple[int, int]) -> Iterator[None]:
    """Fix the counts of a detector in ``predict`` on one image.

    The heads run as ever; only what they hand on is changed:

    - dense heads: ``predict_by_feat`` sees class scores that are certain at
      ``instances`` places and impossible elsewhere;
    - a proposal head hands on exactly ``proposals`` boxes (``instances`` if
      the RoI head has no box branch to select with);
    - the box branch, of a RoI head, beside a dense mask head or with a mask
      branch of its own, hands on exactly ``instances`` of them to the mask
      branch.

    Args:
        model: A detector in evaluation mode.
        proposals: Number of RoIs of the box branch.
        instances: Number of masks.
        img_shape: (h, w) in which the boxes are spread.
    """
    with contextlib.ExitStack() as undo:

        def fix(owner: nn.Module, method: str, count: int) -> None:
            undo.enter_context(
                replaced(owner, method, _handing_on(count, img_shape)))

        bbox_head = getattr(model, 'bbox_head', None)
        mask_head = getattr(model, 'mask_head', None)
        roi_head = getattr(model, 'roi_head', None)
        for head in (bbox_head, mask_head):
            if callable(getattr(head, 'predict_by_feat', None)):
                undo.enter_context(
                    replaced(head, 'predict_by_feat',
                             _seeing(head, instances)))
        if roi_head is not None:
            selects = getattr(roi_head, 'with_bbox', False)
            # A head of learned proposals has a number of its own.
            if hasattr(getattr(model, 'rpn_head', None), 'predict_by_feat'):
                fix(model.rpn_head, 'predict',
                    proposals if selects else instances)
            elif not selects and bbox_head is not None:
                fix(bbox_head, 'predict', instances)
            if selects:
                fix(roi_head, 'predict_bbox', instances)
        elif bbox_head is not None and mask_head is not None:
            fix(bbox_head, 'predict', instances)
        elif hasattr(bbox_head, 'mask_branch'):
            # While costs are counted, all of its boxes may be empty.
            fix(bbox_head, 'predict_by_feat', instances)
        yield


def _handing_on(count: int, img_shape: Tuple[int, int]) -> Callable:

    def wrapper(original: Callable) -> Callable:

        def predict(*args: Any, **kwargs: Any) -> List[InstanceData]:
            results = original(*args, **kwargs)
            return [resized(item, count, img_shape) for item in results]

        return predict

    return wrapper


def resized(instances: InstanceData, count: int,
            img_shape: Tuple[int, int]) -> InstanceData:
    """Return ``count`` instances with boxes spread over the image.

    Args:
        instances: Predicted ones, whose other fields (labels, coefficients)
            are repeated or cut; if there is none, boxes, scores and labels
            are made, and zeros for other tensors.
        count: Number of rows wanted.
        img_shape: (h, w) of the image in pixels.

    Returns:
        Instances with (count, 4) boxes of growing size, so that all levels
        of a pyramid get some.
    """
    device = instances.bboxes.device
    if len(instances):
        rows = torch.arange(count, device=device) % len(instances)
        instances = instances[rows]
    else:
        others = {
            name: value.new_zeros((count, *value.shape[1:]))
            for name, value in instances.items() if isinstance(value, Tensor)
        }
        instances = InstanceData(
            metainfo=instances.metainfo,
            **dict(
                others,
                scores=torch.ones(count, device=device),
                labels=torch.zeros(count, dtype=torch.long, device=device)))
    height, width = img_shape
    part = torch.linspace(0, 1, count + 2, device=device)[1:-1]
    half = part[:, None] / 2
    # The golden ratio spreads the centres evenly without a grid.
    center = torch.stack((part, (torch.arange(count, device=device) *
                                 0.618034) % 1), 1)  # (N, 2)
    size = part.new_tensor([width, height])
    instances.bboxes = torch.cat((
        (center - half).clamp(0, 1) * size,
        (center + half).clamp(0, 1) * size), 1)  # (N, 4)
    return instances


def _seeing(head: nn.Module, count: int) -> Callable:
    classes = getattr(head, 'num_classes', 1)
    background = getattr(head, 'use_sigmoid_cls', True) is False

    found = _score_argument(head)

    def wrapper(original: Callable) -> Callable:
        if found is None:
            return original
        position, name = found

        def predict_by_feat(*args: Any, **kwargs: Any) -> Any:
            given = kwargs[name] if name in kwargs else args[position]
            scores = certain_scores(given, count, classes, background)
            if name in kwargs:
                kwargs[name] = scores
            else:
                args = (*args[:position], scores, *args[position + 1:])
            return original(*args, **kwargs)

        return predict_by_feat

    return wrapper


def _score_argument(head: nn.Module) -> Optional[Tuple[int, str]]:
    """Return position (without self) and name of the class scores.

    An override that hands its arguments on (``*args``) does not name them;
    the class it extends does.
    """
    for owner in type(head).__mro__:
        method = vars(owner).get('predict_by_feat')
        if method is None:
            continue
        names = list(inspect.signature(method).parameters)[1:]
        for i, name in enumerate(names):
            if name in _SCORE_NAMES:
                return i, name
    return None


def certain_scores(cls_scores: Sequence[Tensor], count: int, classes: int,
                   background: bool) -> List[Tensor]:
    """Return score maps that are certain at ``count`` places only.

    Args:
        cls_scores: Per level (1, K, H, W); K is a multiple of the number of
            classes (plus one with background), once per anchor.
        count: Number of places; fewer if there are fewer places in all.
        classes: Number of classes, dealt out in turns so that suppression
            within a class leaves them alone.
        background: Whether the last channel of each anchor stands for "none"
            (softmax).

    Returns:
        Maps of the same shapes and types.
    """
    shapes = [scores.shape for scores in cls_scores]
    places = [h * w for _, _, h, w in shapes]
    total = sum(places)
    flat = cls_scores[0].new_full((total, shapes[0][1]), -_CERTAIN)
    if background:
        flat[:, classes::classes + 1] = _CERTAIN
    count = min(count, total)
    index = torch.arange(count, device=flat.device)
    rows = index * total // max(count, 1)
    flat[rows, index % classes] = _CERTAIN
    if background:
        flat[rows, classes] = -_CERTAIN
    return [
        part.T.reshape(shape)
        for part, shape in zip(flat.split(places), shapes)
    ]
