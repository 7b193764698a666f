"""Parameters and multiply-adds of a config, in all and per stage.

Convention, here and in every metafile: **one multiply-add is one FLOP**, as in
the papers, and 1 GFLOP is 1e9 of them. Counted are matrix products and
convolutions (transposed, grouped and deformable ones too); normalisation,
activations, interpolation, RoIAlign, NMS and pasting of masks are not.
"""
import contextlib
import copy
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import (Any, Callable, Dict, Iterator, Mapping, Optional, Tuple,
                    Union)

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from mmseghead.registry import MODELS
from mmseghead.utils import fan_out_classes, register_all_modules
from .fixed_instances import fixed_instances
from .metafile import find_entry, read_metafile, write_entry
from .model_index import ModelEntry
from .stages import REST, StageTracker, stage_modules

#: Masks per image that every method is given.
NUM_INSTANCES = 100
#: RoIs of a box branch where the config sets no number.
NUM_PROPOSALS = 1000
_EXTENSION = 'mmcv._ext'
#: Deformable convolutions: name -> position of the output they fill; the
#: weight (Cout, Cin / groups, kh, kw) is their second argument.
_DEFORMABLE = dict(deform_conv_forward=3, modulated_deform_conv_forward=6)


@dataclass(frozen=True)
class StageCost:
    """Cost of one stage: parameters, and multiply-adds of one image."""
    parameters: int
    flops: int


@dataclass(frozen=True)
class Cost:
    """Cost of a config.

    Args:
        img_shape: (h, w) of the image that was shown, before padding.
        stages: Stage -> cost. Their sums are the totals.
    """
    img_shape: Tuple[int, int]
    stages: Mapping[str, StageCost]

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages.values())

    @property
    def flops(self) -> int:
        return sum(stage.flops for stage in self.stages.values())


class FlopCounter(TorchDispatchMode):
    """Counts multiply-adds of what runs inside, per stage.

    Nothing that is counted is computed: it gives zeros of the right shape, so
    that a large model costs no more than its glue.

    Compiled and pure-PyTorch operators of mmcv count the same: their insides
    are not looked at, and a deformable convolution counts as the plain
    convolution of its size.

    Args:
        stage: Says which stage is running.
    """

    def __init__(self, stage: Callable[[], str] = lambda: REST) -> None:
        super().__init__()
        self.flops: Dict[str, int] = {}
        self._stage = stage
        self._paused = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        formula = _FORMULAS.get(func._overloadpacket)
        if self._paused or formula is None:
            return func(*args, **kwargs)
        out = _zeros_of_result(func, args, kwargs)
        # PyTorch counts a multiplication and an addition as two.
        self._add(formula(*args, **kwargs, out_val=out) // 2)
        return out

    def _add(self, flops: int) -> None:
        stage = self._stage()
        self.flops[stage] = self.flops.get(stage, 0) + flops

    @contextlib.contextmanager
    def around_mmcv_ops(self) -> Iterator[None]:
        """Treat each operator of mmcv as one piece within the block."""
        extension = sys.modules.get(_EXTENSION)
        functions = {
            name: function
            for name, function in getattr(extension, '__dict__', {}).items()
            if callable(function) and not name.startswith('__')
        }
        for name, function in functions.items():
            setattr(extension, name, self._as_one_piece(name, function))
        try:
            yield
        finally:
            for name, function in functions.items():
                setattr(extension, name, function)

    def _as_one_piece(self, name: str, function: Callable) -> Callable:

        def counted(*args: Any, **kwargs: Any) -> Any:
            before, self._paused = self._paused, True
            try:
                out = function(*args, **kwargs)
            finally:
                self._paused = before
            if name in _DEFORMABLE and not self._paused:
                output = args[_DEFORMABLE[name]]
                self._add(output.numel() * args[1][0].numel())
            return out

        return counted


def _zeros_of_result(func: Callable, args: Tuple,
                     kwargs: Dict[str, Any]) -> torch.Tensor:
    """Return what a function would return, zeros for values."""
    devices = [arg.device for arg in args if isinstance(arg, torch.Tensor)]
    args, kwargs = tree_map_only(torch.Tensor, lambda x: x.to('meta'),
                                 (args, kwargs))
    return torch.zeros_like(func(*args, **kwargs), device=devices[0])


def _product_of_vectors(one: torch.Tensor, *_: Any, **__: Any) -> int:
    return 2 * one.numel()


#: Forward functions without an attention among them: those have results
#: besides the output.
_FORMULAS: Dict[Any, Callable[..., int]] = {
    packet: flop_registry[packet]
    for packet in (torch.ops.aten.mm, torch.ops.aten.addmm,
                   torch.ops.aten.bmm, torch.ops.aten.baddbmm,
                   torch.ops.aten.convolution)
}
_FORMULAS[torch.ops.aten.mv] = _product_of_vectors
_FORMULAS[torch.ops.aten.dot] = _product_of_vectors


def build_model(config: Config) -> nn.Module:
    """Build a config's model for inspection, with random weights.

    Pretrained weights are set by ``init_weights``, which is not called: no
    download happens.
    """
    register_all_modules(init_default_scope=False)
    init_default_scope(config.get('default_scope', 'mmseghead'))
    config = copy.deepcopy(config)
    fan_out_classes(config)
    return MODELS.build(config.model).eval()


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def test_shape(config: Config) -> Tuple[int, int]:
    """Return the (h, w) of a landscape image in a config's test pipeline.

    Raises:
        ValueError: if the pipeline has no resizing step with a scale.
    """
    dataset = config.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    for step in reversed(dataset.pipeline):
        if str(step['type']).endswith('Resize') and 'scale' in step:
            width, height = step['scale']
            if step.get('keep_ratio', False):
                # The scale then states the long and the short side.
                width, height = max(width, height), min(width, height)
            return int(height), int(width)
    raise ValueError(
        'The test pipeline of the config must have a Resize step with a '
        '`scale`; give the input shape instead.')


def measure_cost(config: Union[Config, str, Path],
                 img_shape: Optional[Tuple[int, int]] = None,
                 proposals: Optional[int] = None,
                 instances: int = NUM_INSTANCES) -> Cost:
    """Measure what a config's model costs for one image.

    The real prediction path runs once on the CPU, with random weights, noise
    for an image and zeros for the results of what is counted; the counts do
    not depend on any of them (see ``fixed_instances``).

    Args:
        config: A config or its path.
        img_shape: (h, w); that of the test pipeline if None. Padded as the
            config says.
        proposals: RoIs of a box branch; ``test_cfg.rpn.max_per_img`` if None.
        instances: Masks, for every method alike.

    Raises:
        ValueError: if a number is not positive.
    """
    config = config if isinstance(config, Config) else Config.fromfile(config)
    img_shape = img_shape or test_shape(config)
    if min(*img_shape, instances, 1 if proposals is None else proposals) < 1:
        raise ValueError(
            '`img_shape`, `proposals` and `instances` of measure_cost must be '
            f'>= 1, got {img_shape}, {proposals} and {instances}.')
    if proposals is None:
        rpn = (config.model.get('test_cfg') or {}).get('rpn') or {}
        proposals = rpn.get('max_per_img', NUM_PROPOSALS)
    model = build_model(config)
    divisor = (config.model.get('data_preprocessor') or {}).get(
        'pad_size_divisor', 1)
    flops = _run_counted(model, img_shape, divisor, proposals, instances)
    return Cost(img_shape, _per_stage(model, flops))


def _run_counted(model: nn.Module, img_shape: Tuple[int, int], divisor: int,
                 proposals: int, instances: int) -> Dict[str, int]:
    from mmdet.structures import DetDataSample
    padded = tuple(math.ceil(side / divisor) * divisor for side in img_shape)
    sample = DetDataSample(metainfo=dict(
        img_shape=img_shape,
        ori_shape=img_shape,
        pad_shape=padded,
        batch_input_shape=padded,
        scale_factor=(1.0, 1.0)))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 3, *padded, generator=generator)
    tracker = StageTracker()
    counter = FlopCounter(lambda: tracker.current)
    # Under inference_mode composite operators would reach the counter whole.
    with contextlib.ExitStack() as stack:
        for context in (torch.no_grad(),
                        fixed_instances(model, proposals, instances,
                                        img_shape), tracker.watching(model),
                        counter.around_mmcv_ops(), counter):
            stack.enter_context(context)
        model.predict(inputs, [sample])
    return counter.flops


def _per_stage(model: nn.Module,
               flops: Mapping[str, int]) -> Dict[str, StageCost]:
    """Join parameters and FLOPs; nested stages count once."""
    modules = stage_modules(model)
    parameters = {name: count_parameters(m) for name, m in modules.items()}
    for name in modules:
        if name.startswith('roi_head.'):
            parameters['roi_head'] -= parameters[name]
    rest = count_parameters(model) - sum(parameters.values())
    stages = {
        name: StageCost(parameters[name], flops.get(name, 0))
        for name in modules
    }
    stages[REST] = StageCost(rest, flops.get(REST, 0))
    # Marked work, such as prototypes combined while masks are pasted.
    stages.update({
        name: StageCost(0, flops[name])
        for name in flops if name not in stages
    })
    return {
        name: cost
        for name, cost in stages.items() if cost.parameters or cost.flops
    }


def write_cost(entry: ModelEntry, cost: Cost) -> bool:
    """Put parameters and FLOPs into an entry's metafile.

    Returns:
        Whether the metafile changed.
    """
    content = dict(find_entry(read_metafile(entry.metafile), entry.name))
    height, width = cost.img_shape
    content['Metadata'] = {
        **(content.get('Metadata') or {}), 'Parameters': cost.parameters,
        'FLOPs': cost.flops,
        'FLOPs Resolution': f'({width}, {height})'
    }
    return write_entry(entry.metafile, content)
