"""READMEs and the index say the same, and links lead somewhere."""
import json
import re
from pathlib import Path

import pytest

from mmseghead.apis.model_index import load_index
from mmseghead.apis.readme_tables import readmes, render_tables

ROOT = Path(__file__).resolve().parents[1]
PAGES = readmes(ROOT) + sorted(ROOT.glob('docs/*.md'))
ids = [str(path.relative_to(ROOT)) for path in PAGES]


@pytest.mark.parametrize('path', PAGES, ids=ids)
def test_tables_are_up_to_date(path):
    text = path.read_text()
    assert render_tables(text, load_index(ROOT)) == text, \
        'run tools/misc/update_readmes.py'


@pytest.mark.parametrize('path', PAGES, ids=ids)
def test_local_links_resolve(path):
    for link in re.findall(r'\]\(([^)#\s]+)[^)]*\)', path.read_text()):
        if '://' not in link:
            assert (path.parent / link).exists(), link


def test_every_method_is_described():
    for folder in sorted(ROOT.glob('configs/[a-z]*/')):
        text = (folder / 'README.md').read_text()
        for heading in ('## Parts', '## Results', '## Commands',
                        '## Differences from the paper', '## Citation'):
            assert heading in text, f'{folder.name}: {heading}'
        assert '<!-- models ' in text


def test_bad_queries_are_named():
    index = load_index(ROOT)
    for query in ('colour=red', 'dataset', ''):
        with pytest.raises(ValueError, match='key=value'):
            render_tables(f'<!-- models {query} -->\n<!-- /models -->', index)
    with pytest.raises(ValueError, match='COCO'):
        render_tables(
            '<!-- models dataset=moon -->\n<!-- /models -->', index)


def test_old_table_is_replaced():
    text = 'a\n<!-- models dataset=COCO -->\nold\n<!-- /models -->\nb\n'
    once = render_tables(text, load_index(ROOT))
    assert 'old' not in once and '34.7*' in once
    assert once.startswith('a\n') and once.endswith('\nb\n')
    assert render_tables(once, load_index(ROOT)) == once


def test_tables_of_seeds():
    index = load_index(ROOT)
    text = ('a\n<!-- seeds mask-rcnn_quick_shapes -->\nold\n'
            '<!-- /seeds -->\n')
    table = render_tables(text, index)
    assert 'old' not in table and '| mask AP | mask AP75 |' in table
    rows = [line for line in table.splitlines() if line[:7] == '| mask-']
    cells = rows[0].split(' | ')
    assert len(rows) == 1 and cells[:2] == ['| mask-rcnn_quick_shapes', '0, 1']
    for seed, value in zip(('', '.seed1'), cells[2].split(' / ')):
        path = f'docs/run_records/mask-rcnn_quick_shapes{seed}.json'
        record = json.loads((ROOT / path).read_text())
        metrics = record.get('test', record)['metrics']
        assert float(value) == round(100 * metrics['coco/segm_mAP'], 1)
    with pytest.raises(ValueError, match='moon'):
        render_tables('<!-- seeds moon -->\n<!-- /seeds -->', index)


def test_tables_of_classes():
    index = load_index(ROOT)
    names = 'spatial-embedding_quick_shapes polarmask_quick_shapes'
    text = f'a\n<!-- classes {names} -->\nold\n<!-- /classes -->\n'
    table = render_tables(text, index)
    assert 'old' not in table
    header = next(line for line in table.splitlines() if '| model' in line)
    columns = header.strip('| ').split(' | ')
    assert sorted(columns[1:]) == [
        'box', 'crescent', 'disk', 'gear', 'ring', 'star']
    for name in names.split():
        record = json.loads(
            (ROOT / f'docs/run_records/{name}.json').read_text())
        metrics = record.get('test', record)['metrics']
        row = next(line for line in table.splitlines() if name in line
                   and line.startswith('| '))
        cells = row.strip('| ').split(' | ')
        assert float(cells[columns.index('ring')]) == round(
            100 * metrics['coco/segm_ring_precision'], 1)
    with pytest.raises(ValueError, match='AP by class'):
        render_tables(
            '<!-- classes mask-rcnn_quick_nuclei -->\n<!-- /classes -->',
            index)
