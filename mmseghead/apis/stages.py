"""Which stage of a detector is running: backbone, neck or one of its heads."""
import contextlib
from typing import Any, Callable, Dict, Iterator, List

from torch import nn

from mmseghead.utils.stage_marks import listening

#: Work outside every stage: preprocessing and glue of the detector.
REST = 'rest'
#: Methods besides ``forward`` that start a stage's work.
_METHODS = ('predict', 'predict_bbox', 'predict_mask', 'semantic_maps',
            'predict_logits')
_DECODING = 'predict_by_feat'


def stage_modules(model: nn.Module) -> Dict[str, nn.Module]:
    """Return the stages of a detector: its children, and a RoI head's parts.

    ``roi_head`` stands for what its own parts do not cover.
    """
    stages = {
        name: child
        for name, child in model.named_children()
        if name != 'data_preprocessor'
    }
    if 'roi_head' in stages:
        stages.update({
            f'roi_head.{name}': part
            for name, part in stages['roi_head'].named_children()
        })
    return stages


class StageTracker:
    """Keeps the name of the running stage, the innermost one counting.

    Args:
        on_switch: Called with the old name each time the stage is about to
            change, so that a clock can book the time.
    """

    def __init__(self, on_switch: Callable[[str], None] = lambda _: None
                 ) -> None:
        self._on_switch = on_switch
        self._running: List[str] = [REST]

    @property
    def current(self) -> str:
        return self._running[-1]

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Mark a stage as running for the length of the block."""
        self._on_switch(self.current)
        self._running.append(name)
        try:
            yield
        finally:
            self._on_switch(self.current)
            self._running.pop()

    @contextlib.contextmanager
    def watching(self, model: nn.Module, *,
                 split_decoding: bool = False) -> Iterator[None]:
        """Follow the stages of a model for the length of the block.

        Work that is marked (``mmseghead.utils.stage_marks``) is a stage of
        its own: ``paste``, masks put into the original image.

        Args:
            model: A detector.
            split_decoding: Book what a head does in ``predict_by_feat``, from
                raw maps to instances, under ``<stage>.predict_by_feat``.
        """
        with contextlib.ExitStack() as undo:
            undo.enter_context(listening(self.running))
            for name, stage in stage_modules(model).items():
                for module in _callable_parts(stage):
                    self._wrap(undo, module, 'forward', name)
                    for method in _METHODS:
                        self._wrap(undo, module, method, name)
                    self._wrap(
                        undo, module, _DECODING,
                        f'{name}.{_DECODING}' if split_decoding else name)
            yield

    def _wrap(self, undo: contextlib.ExitStack, module: nn.Module,
              method: str, name: str) -> None:
        if not callable(getattr(module, method, None)):
            return

        def wrapper(original: Callable) -> Callable:

            def tracked(*args: Any, **kwargs: Any) -> Any:
                with self.running(name):
                    return original(*args, **kwargs)

            return tracked

        undo.enter_context(replaced(module, method, wrapper))


def _callable_parts(stage: nn.Module) -> List[nn.Module]:
    """Return what is called of a stage: of a list of heads, each head."""
    if isinstance(stage, nn.ModuleList):
        return [part for item in stage for part in _callable_parts(item)]
    return [stage]


@contextlib.contextmanager
def replaced(owner: Any, method: str,
             wrapper: Callable[[Callable], Callable]) -> Iterator[None]:
    """Replace a bound method of one object for the length of the block.

    Args:
        owner: The object; its class stays as it is.
        method: Name of the method.
        wrapper: Takes the bound method, returns what stands in for it.
    """
    own = vars(owner)
    before = own.get(method)
    object.__setattr__(owner, method, wrapper(getattr(owner, method)))
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(owner, method)
        else:
            object.__setattr__(owner, method, before)
