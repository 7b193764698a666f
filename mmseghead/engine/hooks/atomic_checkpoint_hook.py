"""Checkpoints that replace older ones only when they are complete."""
from typing import Any, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook

from mmseghead.registry import HOOKS
from mmseghead.utils.checkpoints import ATOMIC


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` that survives a full disk.

    Files are written under a temporary name first, and an old checkpoint is
    removed after the new one is there: mmengine removes it before. So with
    ``max_keep_ckpts=1`` the disk needs room for two.

    Args:
        *args: As for ``CheckpointHook``.
        backend_args: Likewise; local files, atomically, by default.
        **kwargs: Likewise.
    """

    def __init__(self,
                 *args: Any,
                 backend_args: Optional[dict] = None,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backend_args = backend_args

    def before_train(self, runner: Any) -> None:
        """Choose the file backend, then prepare as mmengine does."""
        folder = self.out_dir or runner.work_dir
        if self.backend_args is None and '://' not in str(folder):
            self.backend_args = dict(backend=ATOMIC)
        super().before_train(runner)

    def _save_checkpoint_with_step(self, runner: Any, step: int,
                                   meta: dict) -> None:
        limit = self.max_keep_ckpts
        if limit < 1 or step in self.keep_ckpt_ids:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        known = [*self.keep_ckpt_ids, step]
        dropped, kept = known[:-limit], known[-limit:]
        # The checkpoint itself says which ones there are beside it.
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        self.max_keep_ckpts = 0
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = limit
        self.keep_ckpt_ids.extend(kept)
        for old in dropped:
            self._remove(old)

    def _remove(self, step: int) -> None:
        if not is_main_process():
            return
        path = self.file_backend.join_path(self.out_dir,
                                           self.filename_tmpl.format(step))
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            # Checkpoints of DeepSpeed are folders.
            self.file_backend.rmtree(path)
