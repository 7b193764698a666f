"""The index: reading, finding weights, editing entries, faults."""
import hashlib
import re
import string
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.apis.index_checks import check_index
from mmseghead.apis.metafile import (find_entry, list_config, read_metafile,
                                     with_entry, write_entry)
from mmseghead.apis.model_index import find_weights, load_index
from mmseghead.utils.weights import find_weights as find_file
from mmseghead.utils.weights import weights_folders

_text = st.text(string.printable, max_size=30)
_scalars = st.one_of(_text, st.integers(), st.booleans(), st.none(),
                     st.floats(allow_nan=False))
_values = st.recursive(
    _scalars, lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(_text, inner, max_size=3)), max_leaves=8)
_name = st.text(string.ascii_lowercase + '-_', min_size=1, max_size=9)


@settings(max_examples=50, deadline=None)
@given(
    extra=st.lists(st.dictionaries(_text, _values, max_size=3), min_size=1,
                   max_size=4),
    new=st.dictionaries(_text, _values, max_size=3),
    position=st.integers(0, 4),
    indent=st.integers(0, 3))
def test_only_the_named_entry_changes(extra, new, position, indent):
    models = [{**item, 'Name': f'm{i}'} for i, item in enumerate(extra)]
    body = '\n\n# between\n'.join(
        yaml.safe_dump([model], sort_keys=False).rstrip('\n')
        for model in models)
    text = ('# head\nCollections:\n- Name: C\nModels:\n' +
            textwrap.indent(body, ' ' * indent, lambda line: True) + '\n')
    try:
        equal = yaml.safe_load(text)['Models'] == models
    except yaml.YAMLError:
        equal = False
    if not equal:  # indenting changed a text of several lines
        return
    entry = {**new, 'Name': f'm{position}'}
    after = with_entry(text, entry, Path('x.yml'))
    expected = [entry if m['Name'] == entry['Name'] else m for m in models]
    if position >= len(models):
        expected.append(entry)
    assert yaml.safe_load(after)['Models'] == expected
    assert after.count('# between') == len(models) - 1
    assert after.startswith('# head\nCollections:\n- Name: C\nModels:\n')


@pytest.mark.parametrize('text', [
    '', 'Models:\n', 'Models: []\n', '# c\nCollections:\n  - Name: C\n',
    'Models: []\nOther: 3\n', 'Models:\n\nOther: 3\n'
])
def test_first_entry(text):
    after = with_entry(text, dict(Name='a', x=[1]), Path('x.yml'))
    content = yaml.safe_load(after)
    assert content['Models'] == [dict(Name='a', x=[1])]
    assert ('Other' in content) == ('Other' in text)


@pytest.mark.parametrize('style', ['|', '>', '|+'])
def test_block_text_ends_with_its_entry(style):
    text = (f'Models:\n- Name: a\n  Note: {style}\n    one\n    two\n'
            '- Name: b\n')
    after = with_entry(text, dict(Name='a', x=1), Path('x.yml'))
    assert after == 'Models:\n- Name: a\n  x: 1\n- Name: b\n'


def test_lines_of_other_entries_stay(zoo):
    before = zoo.metafile.read_text()
    content = read_metafile(zoo.metafile)
    entry = dict(find_entry(content, 'fake_r50_fpn_1x_coco'))
    assert not write_entry(zoo.metafile, entry)
    assert zoo.metafile.read_text() == before
    entry['Metadata'] = dict(Parameters=8)
    assert write_entry(zoo.metafile, entry)
    after = zoo.metafile.read_text()
    head, tail = '# Written by hand', '\n  # Kept for its comment.'
    assert after.startswith(before[:before.index('  - Name: fake_r50')])
    assert after[after.index(tail):] == before[before.index(tail):]
    assert head in after and 'Parameters: 8' in after
    assert 'Parameters: 7' not in after


def test_configs_without_numbers_are_listed(zoo):
    config = zoo.metafile.parent / f'{zoo.name}.py'
    assert list_config(zoo.root, config)
    assert not list_config(zoo.root, config)
    assert check_index(load_index(zoo.root)) == []
    text = zoo.metafile.read_text()
    zoo.metafile.write_text(text.replace('Collections:',
                                         'Collections:\n  - Name: Second'))
    with pytest.raises(ValueError, match='not clear'):
        list_config(zoo.root, config.with_name('new.py'))


@pytest.mark.parametrize('text, message', [
    ('[1, 2]', 'must be a mapping'),
    ('Models: {a: 1}', 'must be a list'),
    ('Models:\n- Nam: a', '`Name`'),
    ('Models: [', 'not valid YAML'),
    ('Models: [{Name: a}]', 'block'),
])
def test_malformed_metafiles(text, message):
    with pytest.raises(ValueError, match=message):
        with_entry(text, dict(Name='b'), Path('x.yml'))


def test_index_of_the_zoo(zoo):
    index = load_index(zoo.root)
    assert [m.name for m in index.models] == [
        'fake_r50_fpn_1x_coco', 'fake_quick_shapes'
    ]
    entry = index['fake_r50_fpn_1x_coco']
    assert (entry.collection, entry.parameters, entry.flops) == (
        'Solo Fake', 7, None)
    assert entry.metric('COCO', 'mask AP') == 33.9
    assert entry.metric('COCO', 'box AP') is None
    assert entry.metric('nuclei', 'mask AP') is None
    assert not entry.measured
    with pytest.raises(KeyError, match='fake_quick_shapes'):
        index['fake_quick_shape']
    assert index.is_variant('fake-small-head_quick_shapes')
    for name in ('fake_quick_shapes', 'fake-small_quick_nuclei',
                 'fakes-small_quick_shapes'):
        assert not index.is_variant(name)


@pytest.mark.parametrize('listed', [
    'configs/fake/metafile.yml', ['configs/*/metafile.yml'], None, [3]
])
def test_import_is_a_list_without_wildcards(zoo, listed):
    (zoo.root / 'model_index.yml').write_text(yaml.safe_dump(
        dict(Import=listed)))
    with pytest.raises(ValueError, match='one by one'):
        load_index(zoo.root)


def test_missing_files_are_named(zoo):
    zoo.metafile.unlink()
    with pytest.raises(FileNotFoundError, match='fake/metafile.yml'):
        load_index(zoo.root)
    (zoo.root / 'model_index.yml').unlink()
    with pytest.raises(FileNotFoundError, match='model_index.yml'):
        load_index(zoo.root)


def _replace(zoo, old, new):
    text = zoo.metafile.read_text()
    assert old in text
    zoo.metafile.write_text(text.replace(old, new, 1))


def _lists_all(zoo):
    zoo.metafile.write_text(zoo.metafile.read_text() + '''
  - Name: fake_quick_nuclei
    In Collection: Solo Fake
    Config: configs/fake/fake_quick_nuclei.py
    Weights: ''
''')


def test_clean_index_has_no_faults(zoo):
    _lists_all(zoo)
    assert check_index(load_index(zoo.root)) == []


@pytest.mark.parametrize('old, new, fault', [
    ('Name: fake_quick_shapes', 'Name: fake_quick_shape', 'lower-case stem'),
    ('Config: configs/fake/fake_quick_shapes.py',
     'Config: fake/fake_quick_shapes.py', 'below configs/'),
    ('In Collection: Solo Fake', 'In Collection: Other', 'In Collection'),
    ('README: README.md', 'README: configs/fake/README.md', 'README of coll'),
    ('Parameters: 7', 'Parameters: 7.5', 'positive int'),
    ('Training Data: COCO', 'Tags: [3]', 'list of text'),
    ('Training Data: COCO', 'Tags: []', 'list of text'),
    ('Dataset: COCO', 'Dataset: coco', '`Dataset` must be one of'),
    ('mask AP: 33.9', 'mask AP: 133.9', r'in \[0, 100\]'),
    ('mask AP: 33.9', 'Mask AP: 33.9', 'a metric must be'),
    ('Source: reported by mmdet', 'Source: heard', '`Source` must be'),
    ('Source: reported by mmdet', 'Source: measured here', 'Run Record'),
    ("Weights: ''", 'Weights: null', '`Weights` must be text'),
    ("Weights: ''", "Weights: ''\n    SHA256: abc", '64 hexadecimal'),
    ("Weights: ''", f"Weights: a.pth\n    SHA256: {'ab' * 32}",
     'coco-abababab.pth'),
    ('Name: fake_quick_shapes', 'Name: fake_r50_fpn_1x_coco', 'twice'),
])
def test_faults(zoo, old, new, fault):
    _lists_all(zoo)
    _replace(zoo, old, new)
    faults = check_index(load_index(zoo.root))
    assert any(re.search(fault, text) for text in faults), faults


def test_unlisted_configs_and_metafiles_are_faults(zoo):
    faults = check_index(load_index(zoo.root))
    assert len(faults) == 1 and 'fake_quick_nuclei.py is in no' in faults[0]
    other = zoo.root / 'configs' / 'other'
    other.mkdir()
    (other / 'metafile.yml').write_text('Models: []\n')
    faults = check_index(load_index(zoo.root))
    assert 'other/metafile.yml is missing from the Import' in faults[0]


@pytest.mark.parametrize('old, new, fault', [
    ('mask AP: 40.9', 'mask AP: 41.9', 'must be the metrics of'),
    ('Parameters: 31', 'Parameters: 32', '`Parameters` must be those'),
    ('Dataset: nuclei', 'Dataset: COCO', 'must be the metrics of'),
    ('Run Record: docs/run_records/fake_quick_nuclei.json',
     'Run Record: docs/run_records/none.json', 'does not exist'),
])
def test_numbers_must_be_those_of_the_record(zoo, old, new, fault):
    from mmseghead.apis.publish import publish_model
    publish_model(zoo.checkpoint, mirror=zoo.mirror, root=zoo.root)
    _replace(zoo, old, new)
    faults = check_index(load_index(zoo.root))
    if old == 'Dataset: nuclei':  # the metrics still agree: the name does not
        assert any('data set' in text for text in faults), faults
    else:
        assert any(fault in text for text in faults), faults


def _mirrors(tmp_path, monkeypatch):
    data = b'weights'
    digest = hashlib.sha256(data).hexdigest()
    name = f'm-{digest[:8]}.pth'
    folders = [tmp_path / 'a', tmp_path / 'b c']
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv('MMSEGHEAD_WEIGHTS',
                       f'{folders[0]}:{folders[1].as_uri()}:https://x.org/y')
    return folders, name, data, digest


def test_broken_copies_are_passed_over(tmp_path, monkeypatch):
    folders, name, data, digest = _mirrors(tmp_path, monkeypatch)
    assert weights_folders(tmp_path) == folders + [tmp_path / 'weights']
    (folders[0] / name).write_bytes(b'broken')
    with pytest.raises(FileNotFoundError) as error:
        find_file(f'mmseghead://{name}', digest, tmp_path)
    text = str(error.value)
    assert f'{folders[0] / name}: broken' in text
    assert f'{folders[1] / name}: absent' in text
    (folders[1] / name).write_bytes(data)
    assert find_file(f'https://x.org/{name}', None) == folders[1] / name
    with pytest.raises(ValueError, match='8 hex digits'):
        find_file('m.pth')


def test_models_without_weights(zoo):
    with pytest.raises(FileNotFoundError, match='no SHA256'):
        find_weights('fake_quick_shapes', zoo.root)
