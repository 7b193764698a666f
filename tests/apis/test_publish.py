"""Publishing: what is written, what is refused, and that it is atomic."""
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mmseghead.apis import publish
from mmseghead.apis.index_checks import (check_index, drifted_configs,
                                         weights_match_record)
from mmseghead.apis.model_index import find_weights, load_index
from mmseghead.apis.publish import publish_model
from mmseghead.apis.records import record_sha256
from mmseghead.utils import transaction


def _publish(zoo, **options):
    return publish_model(
        zoo.checkpoint, mirror=zoo.mirror, root=zoo.root, **options)


def _entry(zoo, name=None):
    models = yaml.safe_load(zoo.metafile.read_text())['Models']
    return {item['Name']: item for item in models}[name or zoo.name]


def test_weights_only_file(zoo):
    done = _publish(zoo)
    loaded = torch.load(done.weights, weights_only=True)
    assert set(loaded) == {'state_dict', 'meta'}
    assert list(loaded['state_dict']) == ['conv.weight', 'bn.steps']
    assert torch.equal(loaded['state_dict']['conv.weight'],
                       torch.arange(30.).view(2, 15))
    assert loaded['state_dict']._metadata['bn'] == dict(version=2)
    assert loaded['meta']['dataset_meta'] == dict(
        classes=['nucleus'], palette=[[1., 0., 0.]])
    assert loaded['meta']['seed'] == 3
    assert 'channels=6' in loaded['meta']['cfg']
    record = json.loads(done.record.read_text())
    assert weights_match_record(loaded['meta'], record)
    assert not weights_match_record(loaded['meta'], dict(record, seed=4))


def test_name_hash_and_sums(zoo):
    done = _publish(zoo)
    digest = hashlib.sha256(done.weights.read_bytes()).hexdigest()
    assert done.sha256 == digest
    assert done.weights.name == f'fake_quick_nuclei-{digest[:8]}.pth'
    assert (zoo.mirror / 'SHA256SUMS').read_text() == (
        f'{digest}  {done.weights.name}\n')


def test_sums_keep_other_files(zoo):
    zoo.mirror.mkdir()
    (zoo.mirror / 'SHA256SUMS').write_text('ff  z.pth\nee  a b.pth\n')
    done = _publish(zoo)
    assert (zoo.mirror / 'SHA256SUMS').read_text() == (
        f'ee  a b.pth\n{done.sha256}  {done.weights.name}\nff  z.pth\n')


def test_entry(zoo):
    done = _publish(zoo)
    entry = _entry(zoo)
    assert entry == {
        'Name': 'fake_quick_nuclei',
        'In Collection': 'Solo Fake',
        'Config': 'configs/fake/fake_quick_nuclei.py',
        'Metadata': {
            'Parameters': 31,
            'Training Data': 'nuclei',
            'Training Resources': '2 cores of A CPU',
            'Epochs': 3,
            'Batch Size': 4,
            'Training Time (min)': 5.5
        },
        'Results': [{
            'Task': 'Instance Segmentation',
            'Dataset': 'nuclei',
            'Metrics': {
                'mask AP': 40.9,
                'mask AP75': 38.5,
                'box AP': 41.4
            }
        }],
        'Weights': f'mmseghead://{done.weights.name}',
        'SHA256': done.sha256,
        'Run Record': 'docs/run_records/fake_quick_nuclei.json',
        'Source': 'measured here'
    }


def test_result_passes_every_check_and_is_found(zoo, monkeypatch):
    done = _publish(zoo)
    index = load_index(zoo.root)
    assert check_index(index) == []
    assert drifted_configs(index) == {}
    monkeypatch.setenv('MMSEGHEAD_WEIGHTS', str(zoo.mirror))
    assert find_weights(zoo.name, zoo.root) == done.weights


def test_other_entries_and_comments_stay(zoo):
    before = zoo.metafile.read_text()
    _publish(zoo)
    assert zoo.metafile.read_text().startswith(before.rstrip('\n'))


def test_publishing_again_changes_nothing(zoo):
    _publish(zoo)
    before = zoo.files()
    _publish(zoo)
    assert zoo.files() == before


def test_same_bytes_in_another_process(zoo):
    done = _publish(zoo)
    code = ('import hashlib, sys\n'
            'from pathlib import Path\n'
            'from mmseghead.apis.publish import joined_record, '
            'weights_payload\n'
            'path = Path(sys.argv[1])\n'
            'print(hashlib.sha256(weights_payload(path, joined_record(path)))'
            '.hexdigest())')
    result = subprocess.run([sys.executable, '-c', code, str(zoo.checkpoint)],
                            capture_output=True, text=True, check=True,
                            env=dict(os.environ, PYTHONHASHSEED='5'))
    assert result.stdout.split()[-1] == done.sha256


def test_update_keeps_measured_figures(zoo):
    _publish(zoo)
    text = zoo.metafile.read_text().replace(
        'Parameters: 31', 'Parameters: 31\n      FLOPs: 123')
    zoo.metafile.write_text(text)
    zoo.write(zoo.train_record,
              zoo.record('train', metrics={'coco/segm_mAP': 0.5}))
    _publish(zoo)
    assert _entry(zoo)['Metadata']['FLOPs'] == 123
    assert _entry(zoo)['Results'][0]['Metrics'] == {'mask AP': 50.0}
    assert len(yaml.safe_load(zoo.metafile.read_text())['Models']) == 3


def test_test_record_counts(zoo):
    test = zoo.record('test', metrics={'coco/segm_mAP': 0.432})
    zoo.write(zoo.test_record, test)
    done = _publish(zoo, test_record=zoo.test_record)
    assert done.metrics == {'mask AP': 43.2}
    assert json.loads(done.record.read_text())['test'] == test
    assert check_index(load_index(zoo.root)) == []


def test_averaged_weights_of_ema(zoo):
    from mmengine.hooks import EMAHook
    from mmengine.model import ExponentialMovingAverage
    model = torch.nn.Linear(3, 2)
    hook = EMAHook()
    hook.ema_model = ExponentialMovingAverage(model)
    average = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 1
    checkpoint = dict(state_dict=model.state_dict())
    hook.before_save_checkpoint(None, checkpoint)
    weights = publish.averaged_weights(checkpoint)
    assert list(weights) == ['weight', 'bias']
    assert torch.equal(weights['weight'], average)


def test_views_are_cut_from_their_storage():
    state = dict(weight=torch.zeros(1000)[:3])
    weights = publish.averaged_weights(dict(state_dict=state))
    assert weights['weight'].untyped_storage().nbytes() == 12


@pytest.mark.parametrize('state', [None, {}, dict(a=torch.ones(1), b=3)])
def test_strange_state_dicts(state):
    with pytest.raises(ValueError, match='state_dict'):
        publish.averaged_weights(dict(state_dict=state))


@pytest.mark.parametrize('changes, message', [
    (dict(status='running'), 'finish the run'),
    (dict(status='failed'), "must be 'finished', got 'failed'"),
    (dict(kind='test'), "must be 'train', got 'test'"),
    (dict(metrics={}), 'tools/test.py'),
    (dict(metrics={'coco/bbox_mAP': 0.3}), 'states no mask AP'),
    (dict(metrics={'coco/segm_mAP': float('nan')}), r'in \[0, 1\]'),
    (dict(metrics={'coco/segm_mAP': -1.}), r'in \[0, 1\]'),
    (dict(checkpoint=dict(file='a.pth', sha256='0')), 'do not belong tog'),
    (dict(checkpoint=None), 'names no checkpoint'),
    (dict(schema=2), 'schema 1'),
])
def test_refusals(zoo, changes, message):
    zoo.write(zoo.train_record, zoo.record('train', **changes))
    before = zoo.files()
    with pytest.raises(ValueError, match=message):
        _publish(zoo)
    assert zoo.files() == before


def test_refuses_test_of_another_checkpoint_or_config(zoo):
    other = zoo.record('test', checkpoint=dict(file='b.pth', sha256='1'))
    zoo.write(zoo.test_record, other)
    with pytest.raises(ValueError, match='b.pth'):
        _publish(zoo, test_record=zoo.test_record)
    other = zoo.record('test')
    other['config']['name'] = 'fake_quick_shapes'
    zoo.write(zoo.test_record, other)
    with pytest.raises(ValueError, match='fake_quick_shapes'):
        _publish(zoo, test_record=zoo.test_record)
    with pytest.raises(ValueError, match="must be 'test', got 'train'"):
        _publish(zoo, test_record=zoo.train_record)


def test_refuses_other_settings(zoo):
    record = zoo.record('train')
    record['config']['text'] = record['config']['text'].replace(
        'channels=6', 'channels=7').replace('num_workers=2', 'num_workers=0')
    zoo.write(zoo.train_record, record)
    with pytest.raises(ValueError, match=r'states: model\.channels\. Numb'):
        _publish(zoo)


def test_detector_without_masks(zoo):
    """Box AP is enough where the config asks for boxes only."""
    text = "val_evaluator = dict(metric=['bbox'])\n"
    config = zoo.metafile.parent / f'{zoo.name}.py'
    config.write_text(config.read_text() + text)
    record = zoo.record('train', metrics={'coco/bbox_mAP': 0.271})
    record['config']['text'] += text
    zoo.write(zoo.train_record, record)
    assert _publish(zoo).metrics == {'box AP': 27.1}
    assert _entry(zoo)['Results'][0]['Task'] == 'Object Detection'
    assert check_index(load_index(zoo.root)) == []
    zoo.write(zoo.train_record, {**record, 'metrics': {'loss': 0.3}})
    with pytest.raises(ValueError, match='no box AP'):
        _publish(zoo)


def test_evaluation_counts_where_the_metrics_come_from(zoo):
    """A new metric needs a new test, not a new training."""
    train = zoo.record('train')
    test = zoo.record('test', metrics={'coco/segm_mAP': 0.432})
    for record, evaluators in ((train, ('val', )), (test, ('val', 'test'))):
        record['config']['text'] += ''.join(
            f"{name}_evaluator = dict(metric=['{kind}'])\n"
            for name, kind in zip(evaluators, ('old', 'new')))
    config = zoo.metafile.parent / f'{zoo.name}.py'
    config.write_text(config.read_text() + ''.join(
        f"{name}_evaluator = dict(metric=['new'])\n"
        for name in ('val', 'test')))
    zoo.write(zoo.train_record, train)
    with pytest.raises(ValueError, match=r'states: val_evaluator\.metric'):
        _publish(zoo)
    zoo.write(zoo.test_record, test)
    assert _publish(zoo, test_record=zoo.test_record).metrics == {
        'mask AP': 43.2
    }
    assert drifted_configs(load_index(zoo.root)) == {}
    test['config']['text'] = test['config']['text'].replace("'new'", "'old'")
    zoo.write(zoo.test_record, test)
    with pytest.raises(ValueError, match=r'states: test_evaluator\.metric'):
        _publish(zoo, test_record=zoo.test_record)


def test_refuses_unknown_config_and_missing_files(zoo):
    record = zoo.record('train')
    record['config']['name'] = 'unknown_quick_nuclei'
    zoo.write(zoo.train_record, record)
    with pytest.raises(FileNotFoundError, match='unknown_quick_nuclei.py'):
        _publish(zoo)
    zoo.train_record.unlink()
    with pytest.raises(FileNotFoundError, match='run_record_train.json'):
        _publish(zoo)
    zoo.checkpoint.unlink()
    with pytest.raises(FileNotFoundError, match='epoch_3.pth'):
        _publish(zoo)


def test_collection_must_be_clear(zoo):
    text = zoo.metafile.read_text().replace(
        'Collections:', 'Collections:\n  - Name: Second\n'
        '    README: README.md')
    zoo.metafile.write_text(text)
    with pytest.raises(ValueError, match='Second'):
        _publish(zoo)
    _publish(zoo, collection='Second')
    assert _entry(zoo)['In Collection'] == 'Second'


@pytest.mark.parametrize('failing', range(4))
@pytest.mark.parametrize('again', [False, True])
def test_a_failing_write_undoes_the_others(zoo, monkeypatch, failing, again):
    if again:  # over an earlier publication of other numbers
        _publish(zoo)
        torch.save(
            dict(torch.load(zoo.checkpoint, weights_only=False),
                 state_dict=dict(new=torch.ones(2))), zoo.checkpoint)
        zoo.write(zoo.train_record,
                  zoo.record('train', metrics={'coco/segm_mAP': 0.5}))
    before = zoo.files()
    real, calls = transaction.atomic_write, []

    def broken(path: Path, mode: str = 'w'):
        calls.append(path)
        if len(calls) == failing + 1:
            raise OSError('disk full')
        return real(path, mode)

    monkeypatch.setattr(transaction, 'atomic_write', broken)
    with pytest.raises(OSError, match='disk full'):
        _publish(zoo)
    assert len(calls) > failing
    monkeypatch.undo()
    assert zoo.files() == before
    _publish(zoo)
    assert check_index(load_index(zoo.root)) == []


def test_further_seed_files_only_the_record(zoo):
    before = zoo.files()
    done = _publish(zoo, seed_only=True)
    assert done.weights is None and done.metafile is None
    assert done.record == (zoo.root / 'docs' / 'run_records' /
                           'fake_quick_nuclei.seed3.json')
    assert set(zoo.files()) - set(before) == {done.record}
    zoo.write(zoo.train_record, zoo.record('train', seed=None))
    with pytest.raises(ValueError, match='states no seed'):
        _publish(zoo, seed_only=True)


def test_record_hash_leaves_published_aside(zoo):
    record = zoo.record('train')
    assert record_sha256(record) == record_sha256(dict(record, published=1))
    assert record_sha256(record) != record_sha256(dict(record, seed=8))


def test_equal_text_gives_equal_bytes():
    one, other = (''.join(['nuc', 'leus']) for _ in range(2))
    assert one is not other
    assert (pickle.dumps(publish.plain([one, other])) == pickle.dumps(
        publish.plain([one, one])))


def test_plain_refuses_objects():
    with pytest.raises(TypeError, match='got a device'):
        publish.plain(dict(a=[torch.device('cpu')]))
