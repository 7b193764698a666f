"""The loss on the validation set, measured during training."""
import contextlib
import copy
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from mmseghead.datasets.frozen_draws import FrozenDraws
from mmseghead.datasets.seeded_sampler import SeededIndex, seeded
from mmseghead.registry import HOOKS
from mmseghead.utils.seeds import derive_seed


@HOOKS.register_module()
class ValLossHook(Hook):
    """Measure the training losses on the validation set.

    At the end of every validation within a training the losses join its
    metrics as ``val/loss`` (the total) and ``val/<name>`` (its parts). They
    are logged with them, and ``EarlyStopHook`` and ``CheckpointHook``
    (``save_best='val/loss'``) can go by them.

    The validation images pass through the training pipeline, since the
    validation pipeline keeps ground truth in the original image's pixels.
    Each image's random draws are fixed: it is cropped and flipped in the same
    way every time. ``filter_cfg`` is that of the training set.

    The model stays in training mode, which decides what heads compute, but
    for norms with statistics and dropout, which behave as in a test. Modes,
    buffers and random states are put back: a training with this hook equals
    one without to the bit.

    Args:
        batch_size: Of the measurement; that of training if None.
        num_workers: Likewise.
        max_images: Measure on that many images, evenly spread over the set;
            None: on all.
        pipeline: Instead of the training pipeline. Ground truth has to move
            with the image, and random steps are drawn once for each image.
        seed: Of the images' draws.

    Raises:
        ValueError: if a number is out of its range.
    """

    # Before the metrics are logged and anybody goes by them.
    priority = 'HIGHEST'

    def __init__(self,
                 batch_size: Optional[int] = None,
                 num_workers: Optional[int] = None,
                 max_images: Optional[int] = None,
                 pipeline: Optional[Sequence[dict]] = None,
                 seed: int = 0) -> None:
        for name, value, least in (('batch_size', batch_size, 1),
                                   ('num_workers', num_workers, 0),
                                   ('max_images', max_images, 1)):
            if value is not None and (not isinstance(value, int) or
                                      value < least):
                raise ValueError(f'`{name}` of ValLossHook must be an int >= '
                                 f'{least} or None, got {value!r}.')
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.max_images = max_images
        self.pipeline = pipeline
        self.seed = seed
        self._loader: Any = None

    def before_train(self, runner: Any) -> None:
        """Build the loader, so that mistakes show before training.

        Raises:
            KeyError: if the config has no validation set.
            ValueError: if the pipeline has to be given.
        """
        config = loss_dataset_config(runner.cfg, self.pipeline)
        # What is drawn while it is built must not matter either.
        with own_draws(self.seed):
            dataset = DATASETS.build(config)
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
            indices = None
            if self.max_images is not None:
                count = min(self.max_images, len(dataset))
                indices = np.linspace(
                    0, len(dataset) - 1, count).round().astype(int).tolist()
            self._loader = runner.build_dataloader(
                self._loader_config(runner.cfg, dataset, indices),
                seed=self.seed)

    def _loader_config(self, cfg: Any, dataset: Any,
                       indices: Optional[Sequence[int]]) -> Dict[str, Any]:
        train = cfg.train_dataloader

        def chosen(value: Optional[int], key: str, default: int) -> int:
            return train.get(key, default) if value is None else value

        return dict(
            dataset=FrozenDraws(dataset, self.seed, indices),
            batch_size=chosen(self.batch_size, 'batch_size', 1),
            num_workers=chosen(self.num_workers, 'num_workers', 0),
            persistent_workers=False,
            drop_last=False,
            collate_fn=train.get('collate_fn', dict(type='pseudo_collate')),
            # Every process gets as many: some losses wait for each other.
            sampler=dict(type='DefaultSampler', shuffle=False))

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Add the losses to the metrics; nothing outside of training."""
        if self._loader is not None and metrics is not None:
            metrics.update(self._measure(runner))

    @torch.no_grad()
    def _measure(self, runner: Any) -> Dict[str, float]:
        """Return the mean losses over the images, of all processes."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        sums: Dict[str, float] = {}
        count = 0
        with measuring(model), own_draws(self.seed):
            for i, batch in enumerate(self._loader):
                size = _batch_size(batch)
                count += size
                seed = derive_seed(self.seed, i, get_rank())
                with own_draws(seed), runner.optim_wrapper.optim_context(
                        runner.model):
                    losses = _losses_of(model, batch)
                for key, value in losses.items():
                    sums[key] = sums.get(key, 0.0) + size * value
        names = sorted(sums)
        totals = torch.tensor([*(sums[key] for key in names), count],
                              dtype=torch.float64)
        device = next(model.parameters()).device
        totals = totals.to(device if device.type != 'mps' else 'cpu')
        all_reduce(totals)
        means = (totals[:-1] / totals[-1]).tolist()
        return {f'val/{key}': value for key, value in zip(names, means)}


def _batch_size(batch: Any) -> int:
    first = next(iter(batch.values())) if isinstance(batch,
                                                     dict) else batch[0]
    return len(first)


def _losses_of(model: nn.Module, batch: Any) -> Dict[str, float]:
    data = model.data_preprocessor(batch, True)
    if isinstance(data, dict):
        losses = model(**data, mode='loss')
    else:
        losses = model(*data, mode='loss')
    _, logged = model.parse_losses(losses)
    # Accuracies and the like are logged beside the losses.
    return {key: float(value) for key, value in logged.items()
            if 'loss' in key}


def loss_dataset_config(
        cfg: Any, pipeline: Optional[Sequence[dict]] = None) -> Any:
    """Return the config of the validation set as if it were for training.

    Args:
        cfg: The run's config.
        pipeline: Instead of that of the (first) training set.

    Raises:
        KeyError: if the config has no validation set.
        ValueError: if the training set mixes images, so that its pipeline
            does not stand alone.
    """
    if not cfg.get('val_dataloader') or not cfg.get('train_dataloader'):
        raise KeyError('ValLossHook needs `train_dataloader` and '
                       '`val_dataloader` in the config; set both or leave '
                       'the hook out.')
    train = cfg.train_dataloader.dataset
    first = next(_leaves(train))
    if pipeline is None:
        if _mixes(train):
            raise ValueError(
                '`pipeline` of ValLossHook must be given where the training '
                f'set is a {train.get("type")}: its pipeline mixes images. '
                'Give one that loads, resizes and packs a single image.')
        pipeline = first.pipeline
    config = copy.deepcopy(cfg.val_dataloader.dataset)
    for leaf in _leaves(config):
        leaf.pipeline = copy.deepcopy(pipeline)
        leaf.test_mode = False
        leaf.filter_cfg = copy.deepcopy(first.get('filter_cfg'))
    return config


def _leaves(config: Any) -> Iterator[Any]:
    """Yield the configs of data sets inside wrappers."""
    if 'datasets' in config:
        for inner in config['datasets']:
            yield from _leaves(inner)
    elif 'dataset' in config:
        yield from _leaves(config['dataset'])
    else:
        yield config


def _mixes(config: Any) -> bool:
    """Whether a wrapper around a data set has a pipeline of its own."""
    if 'dataset' not in config:
        return False
    return 'pipeline' in config or _mixes(config['dataset'])


@contextlib.contextmanager
def own_draws(seed: int) -> Iterator[None]:
    """Draw from a seed inside, and as if nothing had been after it.

    Python, NumPy and PyTorch, on the CPU and all GPUs.

    Args:
        seed: Of what is drawn inside.
    """
    gpus = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=gpus), seeded(SeededIndex(0, seed)):
        yield


@contextlib.contextmanager
def measuring(model: nn.Module) -> Iterator[None]:
    """Let a model compute its training losses without changing.

    Inside, it is in training mode, but norms with statistics and dropout are
    as in a test. Afterwards modes and buffers are as before.

    Args:
        model: Not wrapped.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers: List[tuple] = [
        (module, key, buffer, buffer.clone())
        for module in model.modules()
        for key, buffer in module._buffers.items() if buffer is not None
    ]
    model.train()
    for module in model.modules():
        if isinstance(module, (_NormBase, _DropoutNd)) or type(
                module).__name__ in ('DropPath', 'DropBlock'):
            module.eval()
    try:
        yield
    finally:
        for module, key, buffer, saved in buffers:
            with torch.no_grad():
                buffer.copy_(saved)
            module._buffers[key] = buffer
        for module, mode in modes:
            module.training = mode
