"""A config's schedule, scaled to another amount of data."""
import copy
import math
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional

from mmengine.config import Config

# What epochs of a config that counts iterations stand for: the quick recipe
# sees 240 nuclei images six times.
_QUICK_EPOCHS = 6.
# COCO's schedules see 1.4 million images; small sets need not.
_MOST_IMAGES_SEEN = 16_000
_COCO_IMAGES = 117_266  # with annotations, in train2017
_LEAST_STEPS = 100
_LINEAR = ('SGD', )
# Of a schedule's settings: those that count epochs or iterations.
_COUNTS = ('begin', 'end', 'T_max', 'step_size')
_WARMUP_SHARE = 0.1
_VALIDATIONS = 10


@dataclass(frozen=True)
class Schedule:
    """How long, with how large batches and at which rate to train.

    Args:
        total: Iterations, or epochs if ``by_epoch``.
        by_epoch: What ``total`` and the schedulers count in.
        epochs: How often each image is seen.
        images_seen: In the whole training.
        batch_size: Images a step, on one device.
        base_batch_size: What ``lr`` is made for.
        optimizer: Its type.
        lr: Learning rate at ``base_batch_size``.
        schedulers: ``param_scheduler`` of the config.
    """
    total: int
    by_epoch: bool
    epochs: float
    images_seen: int
    batch_size: int
    base_batch_size: int
    optimizer: str
    lr: float
    schedulers: List[Dict[str, Any]]

    def notes(self) -> List[str]:
        """Say it in words."""
        return [
            f'schedule: {self.total} steps of {self.batch_size} images, each '
            f'image {self.epochs:.3g} times',
            f'learning rate: {self.lr:.3g} ({self.optimizer})'
        ]

    def settings(self, best: str) -> Dict[str, Any]:
        """Return the settings of a config.

        Args:
            best: Metric by which the best checkpoint is chosen.
        """
        every = max(self.total // _VALIDATIONS, 1)
        return dict(
            train_cfg=dict(
                _delete_=True,
                type='IterBasedTrainLoop',
                max_iters=self.total,
                val_interval=every),
            optim_wrapper=dict(optimizer=dict(lr=self.lr)),
            param_scheduler=self.schedulers,
            auto_scale_lr=dict(
                enable=False, base_batch_size=self.base_batch_size),
            default_hooks=dict(
                logger=dict(interval=min(20, every)),
                checkpoint=dict(
                    by_epoch=False,
                    interval=every,
                    max_keep_ckpts=2,
                    save_best=best,
                    rule='greater')),
            log_processor=dict(by_epoch=False, window_size=20))


def read_schedule(cfg: Config) -> Schedule:
    """Return what a config of the zoo says."""
    loop, loader = cfg.train_cfg, cfg.train_dataloader
    by_epoch = 'max_epochs' in loop
    total = loop.max_epochs if by_epoch else loop.max_iters
    optimizer = cfg.optim_wrapper.optimizer
    base = (cfg.get('auto_scale_lr') or {}).get(
        'base_batch_size') or loader.batch_size
    seen = total * (_COCO_IMAGES if by_epoch else loader.batch_size)
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    return Schedule(
        total=total,
        by_epoch=by_epoch,
        epochs=float(total) if by_epoch else _QUICK_EPOCHS,
        images_seen=seen,
        batch_size=loader.batch_size,
        base_batch_size=base,
        optimizer=str(optimizer.type).split('.')[-1],
        lr=optimizer.lr,
        schedulers=[copy.deepcopy(dict(item)) for item in schedulers])


def scale_schedule(schedule: Schedule,
                   images: int,
                   batch_size: Optional[int] = None,
                   epochs: Optional[float] = None) -> Schedule:
    """Scale a schedule to a number of images.

    Each image is seen as often as the config says, and more often where
    there are few: until as many are seen as in the config's own training,
    but not more than 16,000. Steps of the rate keep their share of the
    training; a warm-up gets no more than a tenth. The rate is scaled with the
    batch, in proportion for SGD, with its root for Adam and its kin.

    Args:
        schedule: From :func:`read_schedule`.
        images: Number of training images, >= 1.
        batch_size: Images a step; the config's if None.
        epochs: How often each image is seen; as above if None.

    Returns:
        The schedule in iterations.
    """
    batch = batch_size or schedule.batch_size
    least = min(schedule.images_seen, _MOST_IMAGES_SEEN)
    seen = epochs * images if epochs else max(schedule.epochs * images, least)
    total = math.ceil(seen / batch)
    if not epochs:
        total = max(total, _LEAST_STEPS)
    ratio = batch / schedule.base_batch_size
    linear = schedule.optimizer in _LINEAR
    rate = schedule.lr * (ratio if linear else math.sqrt(ratio))
    return replace(
        schedule,
        total=total,
        by_epoch=False,
        epochs=total * batch / images,
        images_seen=total * batch,
        batch_size=batch,
        base_batch_size=batch,
        lr=float(f'{rate:.3g}'),
        schedulers=[
            _scaled(item, schedule, total) for item in schedule.schedulers
        ])


def _scaled(item: Dict[str, Any], schedule: Schedule,
            total: int) -> Dict[str, Any]:
    """Scale a scheduler's counts to ``total`` iterations."""
    item = dict(item)
    by_epoch = item.get('by_epoch', True)
    item.pop('convert_to_iter_based', None)
    item['by_epoch'] = False
    if by_epoch != schedule.by_epoch:
        # A warm-up in iterations before epochs.
        item['end'] = max(min(item['end'], int(_WARMUP_SHARE * total)), 1)
        return item
    share = total / schedule.total
    for key in _COUNTS:
        if isinstance(item.get(key), (int, float)):
            item[key] = min(max(round(item[key] * share), int(key != 'begin')),
                            total)
    if 'milestones' in item:
        item['milestones'] = [
            max(round(step * share), 1) for step in item['milestones']
        ]
    return item
