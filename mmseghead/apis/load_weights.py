"""Weights put into a model, all of them or an error."""
from typing import Dict

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

# Registers the readers that run no code, and that of the zoo's own names.
from mmseghead import utils  # noqa: F401
from mmseghead.engine.preflight import foreign_weights


def read_weights(checkpoint: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint, and run no code that it holds.

    Args:
        checkpoint: File, URL or zoo name.

    Raises:
        FileNotFoundError: if it is a file that does not exist.
        ValueError: if the file is broken, would run code, or holds no weights.
    """
    loaded = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
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
            another shape. Names the first ones.
    """
    state = read_weights(checkpoint)
    message = foreign_weights(model, state, 1.0)
    if message:
        raise ValueError(f'{checkpoint} is of another model: {message}')
    model.load_state_dict({name: state[name] for name in model.state_dict()})
