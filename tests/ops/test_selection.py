"""How the operators are chosen, each case in a process of its own."""
import os
import subprocess
import sys

import pytest
import torch

from mmseghead.ops.stand_in import IMPLEMENTED, STAND_IN

# Makes the compiled module missing, or fail as a broken library does.
HIDE = '''
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == 'mmcv._ext':
            raise {error}
sys.meta_path.insert(0, Hide())
'''
MISSING = HIDE.format(
    error="ModuleNotFoundError('gone', name='mmcv._ext')")
BROKEN = HIDE.format(error="ImportError('undefined symbol: _ZN3c10')")
REPORT = '''
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    import mmseghead
print('live', mmseghead.ops.backend())
print('early', [m for m in sys.modules if m.startswith(('mmcv.ops', 'mmdet'))])
print('warned', [str(w.message) for w in caught
                 if w.category is RuntimeWarning])
'''


def run(code, choice='auto'):
    """Run code with the environment variable set."""
    env = {**os.environ, 'MMSEGHEAD_OPS': choice, 'OMP_NUM_THREADS': '1'}
    return subprocess.run([sys.executable, '-c', 'import sys\n' + code],
                          env=env, capture_output=True, text=True,
                          timeout=300)


def succeed(code, choice='auto'):
    """Return what the code prints."""
    result = run(code, choice)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_missing_operators_are_replaced_for_mmcv_and_mmdet():
    out = succeed(MISSING + REPORT + '''
import importlib.util, torch
import mmcv.ops, mmdet.models, mmdet.structures
from mmengine.utils.dl_utils.misc import mmcv_full_available
from mmdet.models.dense_heads.base_dense_head import batched_nms
assert batched_nms is mmcv.ops.batched_nms
from mmdet.structures.mask.structures import roi_align
assert roi_align is mmcv.ops.roi_align
assert mmcv_full_available()
assert importlib.util.find_spec('mmcv._ext').loader is not None
boxes = torch.tensor([[0, 0, 4, 4.], [0, 0, 4, 5]])
print(mmcv.ops.nms(boxes, torch.tensor([.4, .5]), .5)[1].tolist())
print(mmcv.ops.get_compiler_version())
''')
    assert 'live torch\nearly []\nwarned []\n[1]\nnone' in out


def test_broken_operators_are_replaced_with_a_warning():
    out = succeed(BROKEN + REPORT)
    assert 'live torch' in out
    assert 'installed but broken (undefined symbol: _ZN3c10)' in out


@pytest.mark.parametrize('hide', [MISSING, BROKEN])
def test_insisting_on_missing_operators_fails(hide):
    result = run(hide + 'import mmseghead', 'compiled')
    assert result.returncode != 0
    assert '`MMSEGHEAD_OPS` asks for the compiled' in result.stderr
    assert '--no-build-isolation' in result.stderr


def test_unknown_choice_names_the_allowed():
    result = run('import mmseghead', 'fast')
    assert "must be 'auto', 'torch' or 'compiled', got 'fast'" in result.stderr


@pytest.mark.parametrize('choice', ['auto', 'compiled', ''])
def test_compiled_operators_are_kept(compiled, choice):
    assert 'live compiled\nearly []\nwarned []' in succeed(REPORT, choice)


def test_torch_replaces_compiled_operators():
    assert 'live torch\nearly []\nwarned []' in succeed(REPORT, 'torch')


def test_switching_reaches_loaded_operators(compiled):
    out = succeed('''
import mmcv.ops
import mmseghead
from mmseghead.ops import install, backend
live = lambda: type(sys.modules['mmcv.ops.nms'].ext_module.nms).__name__
for choice in ('auto', 'torch', 'torch', 'compiled', 'torch', 'auto'):
    print(install(choice), backend(), live())
''')
    compiled_line, torch_line = [
        f'{name} {name} {kind}' for name, kind in (
            ('compiled', type(compiled.nms).__name__), ('torch', 'function'))
    ]
    assert out.split('\n')[:-1] == [
        compiled_line, torch_line, torch_line, compiled_line, torch_line,
        compiled_line
    ]


def test_late_import_is_reported():
    out = succeed(MISSING + 'import mmdet.structures' + REPORT)
    assert 'Import mmseghead first' in out


def test_other_operators_say_what_to_do(torch_ops):
    from mmcv.ops import RoIPool
    with pytest.raises(NotImplementedError) as error:
        RoIPool(2)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5))
    for part in ('`roi_pool_forward`', 'roi_align_forward', 'pip install'):
        assert part in str(error.value)


def test_stand_in_has_every_operator_of_mmcv(compiled):
    names = [name for name in dir(compiled) if not name.startswith('_')]
    assert len(names) > 100
    assert set(IMPLEMENTED) <= set(names)
    assert all(callable(getattr(STAND_IN, name)) for name in names)


def test_stand_in_has_no_private_names():
    assert not hasattr(STAND_IN, '__path__')
    assert not hasattr(STAND_IN, '_private')
