"""Every entry of the model index is true: see docs/publish.md."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseghead.apis.cost import build_model, count_parameters
from mmseghead.apis.index_checks import check_index, weights_match_record
from mmseghead.apis.model_index import find_weights, load_index

ROOT = Path(__file__).resolve().parents[1]
INDEX = load_index(ROOT)
MODELS = [pytest.param(entry, id=entry.name) for entry in INDEX.models]
PUBLISHED = [
    pytest.param(entry, id=entry.name) for entry in INDEX.models
    if entry.sha256
]


def test_index_has_no_faults():
    faults = check_index(INDEX)
    assert not faults, '\n'.join(faults)


def test_index_is_not_empty():
    assert len(INDEX.models) >= 10 and len(INDEX.collections) >= 5


@pytest.mark.parametrize('entry', MODELS)
def test_parameters_equal_the_built_model(entry):
    """Metafiles are refreshed by `get_flops.py --all --write`."""
    if entry.parameters is None:
        pytest.skip('its metafile states no parameters')
    with torch.device('meta'):  # shapes only: R101s need neither time nor RAM
        try:
            model = build_model(Config.fromfile(ROOT / entry.config))
        except NotImplementedError:
            model = None  # a constructor that computes on its weights
    if model is None:
        model = build_model(Config.fromfile(ROOT / entry.config))
    assert count_parameters(model) == entry.parameters


def test_mi_check_is_clean():
    pytest.importorskip('modelindex', reason='needs model-index (extra dev)')
    code = 'from modelindex.commands.cli import cli; cli()'
    result = subprocess.run(
        [sys.executable, '-c', code, 'check', 'model_index.yml'],
        cwd=ROOT, capture_output=True, text=True)
    # Its exit status is 0 whatever it finds.
    assert 'All good!' in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize('entry', PUBLISHED)
def test_published_weights_load_and_name_their_record(entry):
    try:
        path = find_weights(entry.name, ROOT)
    except FileNotFoundError as error:
        pytest.skip(str(error).splitlines()[0])
    loaded = torch.load(path, weights_only=True)
    record = json.loads((ROOT / entry.run_record).read_text())
    assert weights_match_record(loaded['meta'], record)
    model = build_model(Config.fromfile(ROOT / entry.config))
    model.load_state_dict(loaded['state_dict'], strict=True)
