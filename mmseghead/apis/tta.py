"""Test-time augmentation for any config."""
from typing import Any, List, Optional, Sequence

from mmengine.config import Config, ConfigDict

#: What `--tta` does to a config that does not say: the image and its mirror
#: image, at the scale of the test.
DEFAULT_FLIPS = (None, 'horizontal')
DEFAULT_SCALES = (1., )
_FLIPS = (None, 'horizontal', 'vertical', 'diagonal')


def tta_pipeline(pipeline: Sequence[dict],
                 flips: Sequence[Optional[str]] = DEFAULT_FLIPS,
                 scales: Sequence[float] = DEFAULT_SCALES) -> List[dict]:
    """Turn a test pipeline into one that makes several views.

    Every scale is combined with every flip. What the pipeline does between
    resizing and loading annotations is done to each view; ground truth stays
    as the original image shows it.

    Args:
        pipeline: A test pipeline with a ``Resize`` and ``PackDetInputs``.
        flips: ``None`` (as it is), ``'horizontal'``, ``'vertical'`` or
            ``'diagonal'`` (both), at least one.
        scales: Factors of the test's image size, at least one.

    Raises:
        ValueError: if a flip or scale is none, if the pipeline does not end
            in ``PackDetInputs``, or it has no ``Resize`` to scale.
    """
    unknown = [flip for flip in flips if flip not in _FLIPS]
    if unknown or not flips:
        raise ValueError(f'`flips` of tta_pipeline must be some of {_FLIPS}, '
                         f'got {tuple(flips)}.')
    if not scales or any(not scale > 0 for scale in scales):
        raise ValueError('`scales` of tta_pipeline must be positive numbers, '
                         f'at least one, got {tuple(scales)}.')
    steps = [dict(step) for step in pipeline]
    names = [str(step['type']).split('.')[-1] for step in steps]
    if not names or names[-1] != 'PackDetInputs':
        raise ValueError('tta_pipeline needs a pipeline that ends in '
                         f'PackDetInputs, got {names}.')
    resizes = [i for i, name in enumerate(names) if name.endswith('Resize')]
    if not resizes and tuple(scales) != DEFAULT_SCALES:
        raise ValueError('`scales` of tta_pipeline must be (1.0,) for a '
                         f'pipeline without Resize, got {tuple(scales)}.')
    first = resizes[0] if resizes else names.index('LoadImageFromFile') + 1
    views: List[List[dict]] = []
    if resizes:
        views.append([_scaled(steps[first], scale) for scale in scales])
    views.append([
        dict(type='mmdet.RandomFlip', prob=0.) if flip is None else dict(
            type='mmdet.RandomFlip', prob=1., direction=flip)
        for flip in flips
    ])
    rest = steps[first + bool(resizes):]
    # Annotations are loaded last: they must not be flipped.
    rest.sort(key=lambda step: 'LoadAnnotations' in step['type'])
    pack = next(s for s in rest if s['type'].endswith('PackDetInputs'))
    rest.remove(pack)
    views += [[step] for step in rest] + [[_with_flips(pack)]]
    return [*steps[:first], dict(type='TestTimeAug', transforms=views)]


def _scaled(step: dict, factor: float) -> dict:
    for key in ('scale', 'scale_factor'):
        value: Any = step.get(key)
        if isinstance(value, (tuple, list)):
            scaled = [side * factor for side in value]
            return dict(step, **{key: tuple(
                max(round(side), 1) for side in scaled)
                if key == 'scale' else tuple(scaled)})
        if value is not None:
            return dict(step, **{key: value * factor})
    raise ValueError(f'tta_pipeline cannot scale {step}: it has neither '
                     '`scale` nor `scale_factor`.')


def _with_flips(pack: dict) -> dict:
    keys = pack.get('meta_keys')
    if keys is None:
        return pack  # mmdet's defaults have them
    return dict(pack, meta_keys=tuple(
        dict.fromkeys([*keys, 'flip', 'flip_direction'])))


def enable_tta(cfg: Config) -> None:
    """Use test-time augmentation in a test.

    A config may define all of it as mmdet's do (``tta_model`` and
    ``tta_pipeline``), or only choose views (``tta = dict(flips=...,
    scales=...)``, see `tta_pipeline`). Else it is ``MaskTTAModel`` with the
    image and its mirror image.

    Args:
        cfg: A config with a test data loader; changed in place.

    Raises:
        KeyError: if ``tta`` has other keys.
        ValueError: if the views cannot be made.
    """
    views = dict(cfg.get('tta') or {})
    unknown = sorted(set(views) - {'flips', 'scales'})
    if unknown:
        raise KeyError("`tta` may have the keys 'flips' and 'scales', got "
                       f'{unknown}.')
    dataset = cfg.test_dataloader.dataset
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = tta_pipeline(dataset.pipeline, **views)
    if 'tta_model' not in cfg:
        cfg.tta_model = dict(type='mmseghead.MaskTTAModel')
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline
