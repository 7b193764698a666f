"""Stopping before the first iteration when class counts disagree."""
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmseghead.datasets.data_checks import inner_datasets
from mmseghead.registry import HOOKS
from mmseghead.utils.class_check import check_class_list, describe_difference

#: Parts of a detector whose ``num_classes`` counts something else.
OTHER_CLASSES = ('backbone', 'neck', 'rpn_head', 'semantic_head')


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Check that data sets, model and evaluators agree on the classes.

    Before the first iteration of training, validation or testing: each
    ``num_classes`` in the model equals the number of classes of the data
    set; validation has the classes of training; testing has the classes that
    the checkpoint was trained with, if it says so; each evaluator reads the
    annotation file of its data loader.

    Args:
        ignored: Parts of a module's path whose ``num_classes`` means
            something else. By default pretrained backbones and necks, region
            proposals (one class) and semantic branches (stuff classes too).
    """

    priority = 'VERY_HIGH'

    def __init__(self, ignored: Sequence[str] = OTHER_CLASSES) -> None:
        self.ignored = frozenset(ignored)
        self._trained: Optional[Sequence[str]] = None
        self._checked_val = False

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Remember the classes that the checkpoint was trained with."""
        meta = checkpoint.get('meta') or {}
        self._trained = (meta.get('dataset_meta') or {}).get('classes')

    def before_train(self, runner: Any) -> None:
        """Check the training and the validation set.

        Raises:
            TypeError: if a data set's classes are no tuple of names.
            ValueError: if anything disagrees.
        """
        classes = self._check_dataset(runner, runner.train_loop)
        # Weights to start from may have had other classes.
        self._trained = classes
        if runner.val_loop is not None:
            self._check_loop(runner, 'val', runner.val_loop)
        self._checked_val = True

    def before_val(self, runner: Any) -> None:
        """Check the validation set, unless training has done it.

        Raises:
            TypeError: if a data set's classes are no tuple of names.
            ValueError: if anything disagrees.
        """
        if not self._checked_val:
            self._check_loop(runner, 'val', runner.val_loop)
            self._checked_val = True

    def before_test(self, runner: Any) -> None:
        """Check the test set.

        Raises:
            TypeError: if a data set's classes are no tuple of names.
            ValueError: if anything disagrees.
        """
        self._check_loop(runner, 'test', runner.test_loop)

    def _check_loop(self, runner: Any, mode: str, loop: Any) -> None:
        """Check the data set and evaluator of validation or testing."""
        classes = self._check_dataset(runner, loop)
        if self._trained and list(self._trained) != list(classes):
            difference = describe_difference(classes, self._trained, mode,
                                             'trained')
            raise ValueError(
                f'`metainfo.classes` of the {mode} set must equal those '
                f'the model is trained with.\n{difference}\nGive every data '
                'set the same `metainfo=dict(classes=classes)`, or a '
                'checkpoint of these classes.')
        wanted = list(_ann_files(loop.dataloader.dataset))
        # Several files are evaluated against a merged one.
        if len(wanted) != 1:
            return
        for owner, found in _evaluator_files(runner, mode, loop).items():
            if os.path.realpath(found) != os.path.realpath(wanted[0]):
                raise ValueError(
                    f'`{mode}_evaluator.ann_file` of {owner} must be the '
                    f'annotation file of `{mode}_dataloader`, '
                    f'{wanted[0]}, got {found}. Derive both from one name, '
                    'as configs/_base_/datasets do: `ann_file=data_root + '
                    f'{mode}_ann`.')

    def _check_dataset(self, runner: Any, loop: Any) -> Sequence[str]:
        """Compare a data set with the model and return its classes."""
        dataset = loop.dataloader.dataset
        classes = dataset.metainfo.get('classes', ())
        owner = type(next(inner_datasets(dataset))).__name__
        check_class_list(classes, owner)
        wrong = wrong_class_counts(runner.model, len(classes), self.ignored)
        if wrong:
            counts = '\n'.join(
                f'  model.{path}.num_classes = {count}'
                for path, count in wrong.items())
            raise ValueError(
                f'`num_classes` must be {len(classes)} in every head, the '
                f'number of classes of {owner}, got\n{counts}\nSet each of '
                'them to `num_classes`, which follows from `classes` at the '
                'top of the data set config.')
        return classes


def wrong_class_counts(model: nn.Module,
                       num_classes: int,
                       ignored: Sequence[str] = ()) -> Dict[str, Any]:
    """Return path -> ``num_classes`` of the modules that disagree.

    Args:
        model: A model, wrapped for distributed training or not.
        num_classes: What each module should have.
        ignored: Skip modules with one of these in their path.

    Returns:
        What the model holds instead, by path; ``{}`` if all agree. A list
        counts as wrong if any entry is. Of panoptic parts, which count
        stuff too, ``num_things_classes`` is compared.
    """
    if is_model_wrapper(model):
        model = model.module
    wrong: Dict[str, Any] = {}
    for path, module in model.named_modules():
        if set(path.split('.')) & set(ignored):
            continue
        count = getattr(module, 'num_things_classes',
                        getattr(module, 'num_classes', None))
        counts = count if isinstance(count, (list, tuple)) else [count]
        if any(isinstance(n, int) and n != num_classes for n in counts):
            wrong[path] = count
    return wrong


def _ann_files(dataset: Any) -> Iterator[str]:
    for leaf in inner_datasets(dataset):
        ann_file = getattr(leaf, 'ann_file', '')
        if ann_file:
            yield str(ann_file)


def _evaluator_files(runner: Any, mode: str, loop: Any) -> Dict[str, str]:
    """Return metric name -> annotation file, where one is known.

    mmdet's metrics do not keep the path, so that the config is asked too.
    ``CocoMetric(federated=True)`` reads other annotations of the same images
    and is left out.
    """
    files: Dict[str, str] = {}
    config = runner.cfg.get(f'{mode}_evaluator') or []
    entries: List[Any] = config if isinstance(config, list) else [config]
    for entry in entries:
        if isinstance(entry, dict) and entry.get(
                'ann_file') and not entry.get('federated'):
            files[str(entry['type'])] = entry['ann_file']
    for metric in getattr(loop.evaluator, 'metrics', ()):
        if getattr(metric, 'ann_file', None) and not getattr(
                metric, 'federated', False):
            files[type(metric).__name__] = str(metric.ann_file)
    return files
