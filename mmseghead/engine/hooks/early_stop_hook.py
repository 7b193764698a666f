"""Early stopping that survives an interruption."""
import json
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.dist import master_only
from mmengine.hooks import EarlyStoppingHook

from mmseghead.registry import HOOKS
from mmseghead.utils.files import atomic_write

_FILE = 'early_stopping.json'


@HOOKS.register_module()
class EarlyStopHook(EarlyStoppingHook):
    """End the training when a validation metric no longer improves.

    mmengine's ``EarlyStoppingHook``, for loops by iterations and by epochs.
    Differs from it:

    - a resumed run stops where the uninterrupted one does: the scores are
      kept in ``early_stopping.json`` in the work folder and read again
      (upstream counts anew);
    - tests and lone validations are left alone (upstream builds the training
      set for a test);
    - a metric that is not there is an error, and the least improvement is
      0.0001, not 0.1, which is a tenth of the whole range of AP.

    Use it with ``CheckpointHook(save_best=...)`` of the same metric: the last
    weights are ``patience`` validations past the best.

    Args:
        monitor: Key of the metric, such as ``coco/segm_mAP`` or, with
            ``ValLossHook``, ``val/loss``.
        rule: ``'greater'`` or ``'less'`` is better; taken from the key if
            None.
        min_delta: Least improvement that counts, >= 0.
        patience: Validations in a row without improvement, at least 1, after
            which training stops.
        check_finite: Also stop when the metric is NaN or infinite.
        stopping_threshold: Also stop when the metric is better than this.

    Raises:
        ValueError: if a number is out of its range, or the rule is unknown.
    """

    def __init__(self,
                 monitor: str,
                 rule: Optional[str] = None,
                 min_delta: float = 1e-4,
                 patience: int = 5,
                 check_finite: bool = True,
                 stopping_threshold: Optional[float] = None) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise ValueError('`patience` of EarlyStopHook must be an int >= '
                             f'1, got {patience!r}.')
        if min_delta < 0:
            raise ValueError('`min_delta` of EarlyStopHook must be >= 0, got '
                             f'{min_delta!r}.')
        super().__init__(
            monitor,
            rule=rule,
            min_delta=min_delta,
            strict=True,
            check_finite=check_finite,
            patience=patience,
            stopping_threshold=stopping_threshold)
        self._scores: Optional[Dict[int, float]] = None

    def before_run(self, runner: Any) -> None:
        """Do nothing: whether this is a training is not known yet."""

    def before_train(self, runner: Any) -> None:
        """Go through the scores of what is being resumed again."""
        self._scores = {}
        path = Path(runner.work_dir) / _FILE
        if not path.is_file():
            return
        scores = json.loads(path.read_text()).get(self.monitor, {})
        # Validations after the checkpoint will be done again.
        for step in sorted(map(int, scores)):
            if step <= runner.iter:
                self._scores[step] = scores[str(step)]
                self._judge(runner, scores[str(step)])

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Decide whether to stop.

        Raises:
            KeyError: if the metric is not there; lists what is.
        """
        if self._scores is None:
            return
        metrics = metrics or {}
        if self.monitor not in metrics:
            raise KeyError(
                f'`monitor` of EarlyStopHook must be a metric of the '
                f'validation, got {self.monitor!r}. There are: '
                f'{", ".join(sorted(metrics)) or "none"}.')
        score = float(metrics[self.monitor])
        self._scores[runner.iter] = score
        self._save(runner)
        self._judge(runner, score)

    def _judge(self, runner: Any, score: float) -> None:
        stop, reason = self._check_stop_condition(score)
        if stop:
            runner.train_loop.stop_training = True
            runner.logger.info(f'Training stops after iteration '
                               f'{runner.iter}: {reason}')

    @master_only
    def _save(self, runner: Any) -> None:
        with atomic_write(Path(runner.work_dir) / _FILE) as file:
            json.dump({self.monitor: self._scores}, file, indent=1)
            file.write('\n')
