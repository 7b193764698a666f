"""Weights put into a model, all of them or an error."""
import pickle
from pathlib import Path
from typing import Dict

import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import Tensor, nn


def read_weights(checkpoint: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint, and run no code that it holds.

    Args:
        checkpoint: File, URL or zoo name.

    Raises:
        FileNotFoundError: if it is a file that does not exist.
        ValueError: if the file is broken, holds Python objects besides those
            that checkpoints of mmengine have, or no weights.
    """
    if '://' in checkpoint:
        loaded = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    elif not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint!r} does not exist.')
    else:
        try:
            with torch.serialization.safe_globals(get_torch_safe_globals()):
                loaded = torch.load(
                    checkpoint, map_location='cpu', weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(
                f'{checkpoint} holds more than weights and was refused, as '
                'loading it could run any code. If you trust it, load it with '
                'torch.load(..., weights_only=False) and save its '
                f'`state_dict` anew. PyTorch says: {error}') from None
        except (RuntimeError, EOFError) as error:
            raise ValueError(f'{checkpoint} is broken or no checkpoint: '
                             f'{error}') from None
    state = loaded.get('state_dict', loaded) if isinstance(loaded,
                                                           dict) else None
    if not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f'{checkpoint} holds no weights.')
    return {name.removeprefix('module.'): v for name, v in state.items()}


def load_weights(model: nn.Module, checkpoint: str) -> None:
    """Load a checkpoint of exactly this model.

    Args:
        model: The detector, without wrappers.
        checkpoint: See `read_weights`.

    Raises:
        FileNotFoundError: see `read_weights`.
        ValueError: likewise, and if weights of the model are missing or have
            another shape. Names the first one.
    """
    state, own = read_weights(checkpoint), model.state_dict()
    missing = sorted(set(own) - set(state))
    if missing:
        raise ValueError(
            f'{checkpoint} is of another model: {len(missing)} of {len(own)} '
            f'weights of the config are missing, such as {missing[0]!r}.')
    for name, value in own.items():
        if value.shape != state[name].shape:
            raise ValueError(
                f'{checkpoint} is of another model: {name!r} has shape '
                f'{tuple(state[name].shape)}, and the config wants '
                f'{tuple(value.shape)}. Do its classes and sizes agree?')
    model.load_state_dict({name: state[name] for name in own})
