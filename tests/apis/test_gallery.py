"""Which models the gallery shows, and what is known of them."""
import json
import re
from pathlib import Path

import pytest

from mmseghead.apis.gallery import (find_models, gallery_hardware, measure,
                                    read_trainings)
from mmseghead.apis.metafile import write_entry
from mmseghead.apis.model_index import load_index
from mmseghead.apis.records import class_metrics, class_test_file

ROOT = Path(__file__).resolve().parents[2]


def only(zoo, stem, dataset):
    index = load_index(zoo.root)
    return measure(index, find_models(index, [stem], [dataset]))[0]


def test_the_gallery_holds_every_method():
    """The names of docs/architecture.md, on both data sets."""
    text = (ROOT / 'docs/architecture.md').read_text()
    stems = re.search(r'Method stems: `([^`]+)`', text)[1].split()
    models = find_models(load_index(ROOT))
    for dataset in ('shapes', 'nuclei'):
        here = [model.stem for model in models if model.dataset == dataset]
        assert len(here) == len(set(here)) and set(stems) <= set(here)
        # FCOS stands beside FCOSreg; no variants.
        assert set(here) - set(stems) <= {'fcos'}
    assert len({model.label for model in models}) == len(models) // 2


def test_variants_are_left_out_and_labels_tell_apart(quick_zoo):
    models = find_models(load_index(quick_zoo.root))
    assert [(model.name, model.label) for model in models[:4]] == [
        ('alpha_quick_shapes', 'Alpha'),
        ('beta-fcos_quick_shapes', 'Beta-FCOS'),
        ('beta-retina_quick_shapes', 'Beta-RetinaNet'),
        ('boxes_quick_shapes', 'Boxes')
    ]
    assert [model.dataset for model in models[4:]] == ['nuclei'] * 4
    assert [model.two_stage for model in models[:4]] == [
        False, False, True, False]
    assert [model.metric for model in models[:4]] == ['mask AP'] * 3 + [
        'box AP']


def test_choice_of_models(quick_zoo):
    index = load_index(quick_zoo.root)
    chosen = find_models(index, ['boxes', 'alpha'], ['nuclei'])
    assert [model.name for model in chosen] == [
        'alpha_quick_nuclei', 'boxes_quick_nuclei']
    with pytest.raises(ValueError, match='alpha-small'):
        find_models(index, ['alpha-small'])
    with pytest.raises(ValueError, match='coco'):
        find_models(index, datasets=['coco'])


def test_older_recipes_do_not_count(quick_zoo):
    name = 'alpha_quick_shapes'
    quick_zoo.publish(name, 40.)
    quick_zoo.seed(name, 1, 42.)
    old = quick_zoo.record(name, 0.)['config']
    old['text'] = old['text'].replace('lr=0.25', 'lr=0.5')
    quick_zoo.seed(name, 2, 99., config=old)
    item = only(quick_zoo, 'alpha', 'shapes')
    assert item.current and item.values('mask AP') == [40., 42.]
    assert [run.seed for run in item.trainings] == [0, 1, 2]
    assert item.trainings[2].changed == ('optim_wrapper.optimizer.lr', )
    assert item.value('boundary AP') == 20. and item.value('box AP') == 40.
    assert item.value('training time') == 5. and item.value('params') == 31e-6
    path = quick_zoo.config(name)
    path.write_text(path.read_text().replace('0.25', '0.5'))
    item = only(quick_zoo, 'alpha', 'shapes')
    assert not item.current and item.value('mask AP') == 40.
    assert item.values('mask AP') == [99.] and item.values('params') == []


def test_nothing_known(quick_zoo):
    item = only(quick_zoo, 'alpha', 'nuclei')
    assert not item.current and not item.trainings
    for metric in ('mask AP', 'latency', 'training time', 'ring AP', 'GFLOPs'):
        assert item.value(metric) is None and item.values(metric) == []


def test_latency_is_of_these_weights_and_one_hardware(quick_zoo):
    for stem in ('alpha', 'boxes', 'beta-fcos'):
        quick_zoo.publish(f'{stem}_quick_shapes', 20.)
    index = load_index(quick_zoo.root)
    entry = index['alpha_quick_shapes']
    metadata = dict(entry.metadata)
    key = 'inference time (ms/im)'
    first = metadata[key][0]
    # Also on a GPU, which most were not measured on; in half precision; and
    # with weights that have been replaced.
    metadata[key] = [
        dict(first, hardware='GPU', value=1.),
        dict(first, mode='FP16', value=2.),
        dict(first, weights='alpha_quick_shapes-00000000.pth', value=3.),
        first
    ]
    write_entry(entry.metafile, {**entry.raw, 'Metadata': metadata})
    index = load_index(quick_zoo.root)
    assert gallery_hardware(find_models(index)) == '2 threads of A CPU'
    assert only(quick_zoo, 'alpha', 'shapes').value('latency') == 200.
    metadata[key] = metadata[key][:3]
    write_entry(entry.metafile, {**entry.raw, 'Metadata': metadata})
    assert only(quick_zoo, 'boxes', 'shapes').value('latency') == 200.
    index = load_index(quick_zoo.root)
    models = find_models(index)
    assert measure(index, models)[0].value('latency') is None


def test_classes_come_from_the_training_or_a_test_of_its_weights(quick_zoo):
    name = 'alpha_quick_shapes'
    quick_zoo.publish(name, 40., classes=dict(ring=12.5, disk=50.))
    assert class_metrics(quick_zoo.root, name) == dict(ring=.125, disk=.5)
    quick_zoo.publish(name, 40.)
    assert class_metrics(quick_zoo.root, name) == {}
    test = quick_zoo.record(
        name, 40., kind='test',
        checkpoint=dict(file='x', sha256='of others'))
    test['metrics']['coco/segm_ring_precision'] = .25
    path = class_test_file(quick_zoo.root, name)
    path.write_text(json.dumps(test))
    assert class_metrics(quick_zoo.root, name) == {}
    test['checkpoint']['sha256'] = load_index(quick_zoo.root)[name].sha256
    path.write_text(json.dumps(test))
    assert class_metrics(quick_zoo.root, name) == dict(ring=.25)
    assert only(quick_zoo, 'alpha', 'shapes').value('ring AP') == 25.
    # Such a record is none of a further training.
    index = load_index(quick_zoo.root)
    model = find_models(index, ['alpha'], ['shapes'])[0]
    assert len(read_trainings(index, model)) == 1
