"""How much memory a step of training will take, from one image."""
import contextlib
import random
from typing import Any, Dict, Iterator, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# Numbers that an optimizer keeps for each parameter; 2 where unknown.
_STATES = dict(SGD=1, RMSprop=1, Adagrad=1, Adam=2, AdamW=2)


class MemoryEstimate(NamedTuple):
    """Bytes by use. The network's own workspace is not among them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)


def estimate_memory(model: nn.Module, image: Dict[str, Any],
                    batch_size: int, optimizer: Dict[str, Any]
                    ) -> MemoryEstimate:
    """Estimate what a step of training needs.

    One image goes forward, and what autograd keeps for the way back is
    counted, times ``batch_size``. Neither weights nor buffers nor states of
    random generators are changed.

    Args:
        model: A detector of mmdet, not wrapped.
        image: One sample of the training data set: ``inputs`` and
            ``data_samples``.
        batch_size: Images a step on one device.
        optimizer: The config of the optimizer.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    weights = [*model.parameters(), *model.buffers()]
    gradients = _bytes(trained)
    kind = str(optimizer.get('type', '')).split('.')[-1]
    states = _STATES.get(kind, 2)
    if kind == 'SGD' and not optimizer.get('momentum'):
        states = 0
    kept = {tensor.untyped_storage().data_ptr() for tensor in weights}
    with _unchanged(model):
        activations = _saved_bytes(model, image, kept)
    return MemoryEstimate(
        _bytes(weights), gradients, states * gradients,
        activations * batch_size)


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _saved_bytes(model: nn.Module, image: Dict[str, Any],
                 counted: set) -> int:
    """Sum up the storages that autograd keeps for a backward pass."""
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            # Kept alive by the graph, so that no other takes its place.
            counted.add(storage.data_ptr())
            total += storage.nbytes()
        return tensor

    batch = dict(
        inputs=[image['inputs']], data_samples=[image['data_samples']])
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
    del losses
    return total


@contextlib.contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Put buffers, modes and random states back at the end of the block."""
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    states = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        for module, mode in modes.items():
            module.training = mode
