"""Random draws of the model that survive an interruption."""
import random
from typing import Optional

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmseghead.registry import HOOKS
from mmseghead.utils.seeds import derive_seed


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed every training step from (run's seed, step, rank).

    What the model draws in a step, RoI samples or points, then depends on
    nothing that came before, so that a run resumed from a checkpoint repeats
    the uninterrupted one to the bit on the CPU. The data side is
    ``mmseghead.datasets.SeededInfiniteSampler``.
    """

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: Optional[dict] = None) -> None:
        """Seed Python, NumPy and PyTorch for the step about to run."""
        seed = derive_seed(runner.seed or 0, runner.iter, get_rank())
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
