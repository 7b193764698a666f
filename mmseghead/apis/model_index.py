"""The model index: every config of the zoo with its published numbers."""
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import yaml

import mmseghead
from mmseghead.utils import weights
from .metafile import read_metafile

#: `Source` of numbers that a run record of this repository proves.
MEASURED = 'measured here'
DATASETS = ('COCO', 'LVIS v1', 'Cityscapes', 'shapes', 'nuclei')
LATENCY_KEY = 'inference time (ms/im)'


@dataclass(frozen=True)
class ModelEntry:
    """One model of the index.

    Args:
        raw: The entry as it stands in its metafile.
        metafile: The file it stands in.
    """
    raw: Mapping[str, Any]
    metafile: Path

    @property
    def name(self) -> str:
        return self.raw['Name']

    @property
    def collection(self) -> str:
        return self.raw.get('In Collection') or ''

    @property
    def config(self) -> str:
        """Path of the config, relative to the index's root."""
        return self.raw.get('Config') or ''

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.raw.get('Metadata') or {}

    @property
    def parameters(self) -> Optional[int]:
        return self.metadata.get('Parameters')

    @property
    def flops(self) -> Optional[int]:
        """Multiply-adds of one image (see ``mmseghead.apis.cost``)."""
        return self.metadata.get('FLOPs')

    @property
    def latencies(self) -> List[Mapping[str, Any]]:
        return list(self.metadata.get(LATENCY_KEY) or [])

    @property
    def results(self) -> List[Mapping[str, Any]]:
        """Each with Task, Dataset and Metrics; empty if none is known."""
        return list(self.raw.get('Results') or [])

    @property
    def source(self) -> str:
        return self.raw.get('Source') or ''

    @property
    def measured(self) -> bool:
        return self.source == MEASURED

    @property
    def weights(self) -> str:
        """URL of the weights; empty if there are none."""
        return self.raw.get('Weights') or ''

    @property
    def weights_file(self) -> str:
        """File name of the weights; empty if there are none."""
        return self.weights.rsplit('/', 1)[-1]

    @property
    def sha256(self) -> str:
        return self.raw.get('SHA256') or ''

    @property
    def run_record(self) -> str:
        return self.raw.get('Run Record') or ''

    def metric(self, dataset: str, name: str) -> Optional[float]:
        """Return a metric on the 0-100 scale, or None if it is not known."""
        for result in self.results:
            if result.get('Dataset') == dataset:
                value = (result.get('Metrics') or {}).get(name)
                return None if value is None else float(value)
        return None


@dataclass(frozen=True)
class ModelIndex:
    """The content of ``model_index.yml`` and of all metafiles it lists.

    Args:
        root: Folder that ``Config`` paths are relative to.
        metafiles: The listed metafiles, in order.
        collections: Name -> collection entry.
        models: All models, in order.
        duplicates: Names that more than one model or collection bears.
    """
    root: Path
    metafiles: Tuple[Path, ...] = ()
    collections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Tuple[ModelEntry, ...] = ()
    duplicates: Tuple[str, ...] = ()

    def __getitem__(self, name: str) -> ModelEntry:
        for model in self.models:
            if model.name == name:
                return model
        names = [model.name for model in self.models]
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.3)
        raise KeyError(f'There is no model {name!r} among the {len(names)} of '
                       f'{self.root}. Nearest: {", ".join(near) or "none"}.')

    def is_variant(self, name: str) -> bool:
        """Tell whether a model is a variant of another one.

        ``a-b_rest`` is a variant if there is a model ``a_rest``.
        """
        stem, _, rest = name.partition('_')
        parts = stem.split('-')
        bases = {
            '-'.join(parts[:i]) + f'_{rest}' for i in range(1, len(parts))
        }
        return any(model.name in bases for model in self.models)


def find_root() -> Path:
    """Return the folder of the index: the checkout, or the installed data.

    Raises:
        FileNotFoundError: if neither holds an index.
    """
    package = Path(mmseghead.__file__).resolve().parent
    places = [
        package.parent, package / '.mim',
        package.parent / '_mmseghead_mim' / '.mim'
    ]
    for place in places:
        if index_file(place) is not None and (place / 'configs').is_dir():
            return place
    raise FileNotFoundError(
        'There is no model index beside the package; looked in '
        f'{", ".join(map(str, places))}. Install the package anew, or give '
        'the root of a checkout.')


def index_file(root: Path) -> Optional[Path]:
    """Return the index file of a root, or None.

    It is called model_index.yml in the repository, and model-index.yml
    where mim looks for it.
    """
    for name in ('model_index.yml', 'model-index.yml'):
        if (root / name).is_file():
            return root / name
    return None


def load_index(root: Optional[Path] = None) -> ModelIndex:
    """Read the model index.

    Args:
        root: The folder of the index; found by :func:`find_root` if None.

    Raises:
        FileNotFoundError: if there is no index, or it lists a metafile that
            does not exist.
        ValueError: if the index or a metafile is malformed.
    """
    root = find_root() if root is None else Path(root)
    file = index_file(root)
    if file is None:
        raise FileNotFoundError(f'There is no model_index.yml in {root}.')
    listed = (yaml.safe_load(file.read_text('utf-8')) or {}).get('Import')
    if not isinstance(listed, list) or not all(
            isinstance(path, str) and '*' not in path for path in listed):
        raise ValueError(
            f'`Import` of {file} must be a list of metafiles, one by one and '
            f'without wildcards, got {listed!r}.')
    metafiles = tuple(root / path for path in listed)
    collections: Dict[str, Mapping[str, Any]] = {}
    models: List[ModelEntry] = []
    names: List[str] = []
    for path in metafiles:
        content = read_metafile(path)
        for item in content.get('Collections') or []:
            collections.setdefault(item['Name'], item)
            names.append(f'collection {item["Name"]}')
        for item in content.get('Models') or []:
            models.append(ModelEntry(item, path))
            names.append(item['Name'])
    twice = tuple(sorted({name for name in names if names.count(name) > 1}))
    return ModelIndex(root, metafiles, collections, tuple(models), twice)


def find_weights(name: str, root: Optional[Path] = None) -> Path:
    """Return a published checkpoint of a model, with its hash verified.

    Args:
        name: Name of the model in the index.
        root: The folder of the index; found if None.

    Raises:
        KeyError: if there is no such model.
        FileNotFoundError: if it has no weights published here, or no mirror
            holds an unbroken copy; says where it looked and what it found.
    """
    index = load_index(root)
    entry = index[name]
    if not entry.weights or not entry.sha256:
        having = ', '.join(model.name for model in index.models
                           if model.weights and model.sha256)
        raise FileNotFoundError(
            f'No weights of {name!r} are published here: its metafile entry '
            f'has no SHA256. Models with weights: {having or "none"}.')
    return weights.find_weights(entry.weights, entry.sha256, index.root)
