"""What is missing is found and done, once, and goes on where it stopped."""
import json
import os
import signal

import pytest
import torch

from mmseghead.apis import gallery_run
from mmseghead.apis.gallery_plan import (Wanted, make_plan, state_of,
                                         to_duration, to_text, work_dir)
from mmseghead.apis.gallery_run import GalleryRun, RunOptions
from mmseghead.apis.model_index import load_index
from mmseghead.apis.records import class_metrics

HARDWARE = '2 threads of A CPU'
# Stand-ins for the tools: they write what the real ones would, at once.
TRAIN = '''
import hashlib, json, shutil, sys, time
from pathlib import Path
root = Path.cwd()
config = Path(sys.argv[1])
folder = Path(sys.argv[sys.argv.index('--work-dir') + 1])
options = sys.argv[sys.argv.index('--cfg-options') + 1:]
with open(root / 'calls', 'a') as file:
    file.write(f'train {config.stem} {" ".join(options)}\\n')
folder.mkdir(parents=True, exist_ok=True)
seed = [int(x.split('=')[1]) for x in options if x.startswith('randomness')]
record = dict(json.loads((root / 'record.json').read_text()),
              seed=(seed or [0])[0], status='running')
record['config'] = dict(name=config.stem, path='', text=config.read_text())
if config.stem.startswith('boxes'):
    record['metrics'] = {'coco/bbox_mAP': .2}
path = folder / 'run_record_train.json'
path.write_text(json.dumps(record))
print('x - Iter(train) [ 3/9] loss: 1', flush=True)
if (root / 'slow').exists():
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(1)
if config.stem in (root / 'broken').read_text():
    sys.exit('RuntimeError: broken on purpose')
shutil.copy(root / 'weights.pth', folder / 'iter_9.pth')
digest = hashlib.sha256((folder / 'iter_9.pth').read_bytes()).hexdigest()
record.update(status='finished',
              checkpoint=dict(file='iter_9.pth', sha256=digest))
path.write_text(json.dumps(record))
'''
OTHER = '''
import sys
with open('calls', 'a') as file:
    file.write('{name} ' + sys.argv[1].split('/')[-1] + '\\n')
'''

TEST = '''
import hashlib, json, sys
from pathlib import Path
config, weights = Path(sys.argv[1]), Path(sys.argv[2])
assert 'test_evaluator.classwise=True' in sys.argv
folder = Path(sys.argv[sys.argv.index('--work-dir') + 1])
folder.mkdir(parents=True)
record = dict(json.loads(Path('record.json').read_text()), kind='test')
record['config'] = dict(name=config.stem, path='', text=config.read_text())
record['metrics']['coco/segm_ring_precision'] = .125
digest = hashlib.sha256(weights.read_bytes()).hexdigest()
if Path('other_weights').exists():
    digest = 'that of others'
record['checkpoint'] = dict(file=weights.name, sha256=digest)
(folder / 'run_record_test.json').write_text(json.dumps(record))
'''


@pytest.fixture
def workshop(quick_zoo, monkeypatch):
    """A zoo with tools that take no time."""
    root = quick_zoo.root
    monkeypatch.delenv('MMSEGHEAD_WEIGHTS', raising=False)
    (root / 'tools/analysis_tools').mkdir(parents=True)
    (root / 'tools/train.py').write_text(TRAIN)
    (root / 'tools/test.py').write_text(TEST)
    for name in ('get_flops', 'benchmark'):
        (root / f'tools/analysis_tools/{name}.py').write_text(
            OTHER.format(name=name))
    (root / 'broken').write_text('')
    torch.save(dict(state_dict={'w': torch.ones(2)}), root / 'weights.pth')
    (root / 'record.json').write_text(
        json.dumps(quick_zoo.record('alpha_quick_shapes', 33.)))
    return quick_zoo


def calls(zoo):
    """Return the calls of tools since the last question."""
    path = zoo.root / 'calls'
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split(' default_hooks')[0] for line in found]


def plan(zoo, *, seeds=(0, ), **options):
    return make_plan(load_index(zoo.root),
                     Wanted(seeds=seeds, hardware=HARDWARE, **options))


def kinds(steps):
    return [str(step) for step in steps]


def test_plan_names_what_is_missing(quick_zoo):
    quick_zoo.publish('alpha_quick_shapes', 40., classes=dict(ring=1.))
    quick_zoo.publish('boxes_quick_shapes', 40.)
    steps = plan(quick_zoo, datasets=['shapes'], methods=['alpha', 'boxes'])
    assert steps == [] and to_text(steps) == 'Nothing is missing.'
    steps = plan(quick_zoo, datasets=['shapes'], methods=['alpha', 'boxes'],
                 second_seeds=['boxes_quick_shapes', 'alpha_quick_nuclei'])
    assert kinds(steps) == ['train boxes_quick_shapes seed 1']
    # As long as the model took before.
    assert steps[0].seconds == 330. and '5.5 min' in to_text(steps)
    steps = plan(quick_zoo, methods=['alpha'], seeds=(0, 3))
    assert kinds(steps) == [
        'train alpha_quick_nuclei', 'cost alpha_quick_nuclei',
        'latency alpha_quick_nuclei', 'train alpha_quick_shapes seed 3',
        'train alpha_quick_nuclei seed 3'
    ]
    assert [step.main for step in steps] == [True] * 3 + [False] * 2
    assert kinds(plan(quick_zoo, methods=['alpha'], kinds=['latency'])) == [
        'latency alpha_quick_nuclei']


def test_changed_configs_are_trained_again(quick_zoo):
    name = 'alpha_quick_shapes'
    quick_zoo.publish(name, 40., classes=dict(ring=1.))
    quick_zoo.seed(name, 1, 41.)
    path = quick_zoo.config(name)
    path.write_text(path.read_text().replace('0.25', '0.5'))
    steps = plan(quick_zoo, methods=['alpha'], datasets=['shapes'],
                 seeds=(0, 1))
    assert kinds(steps) == [f'train {name}', f'cost {name}',
                            f'latency {name}', f'train {name} seed 1']
    assert 'optim_wrapper.optimizer.lr' in steps[0].why
    assert 'optim_wrapper.optimizer.lr' in steps[3].why


def test_other_hardware_and_classes_are_measured(quick_zoo):
    name = 'alpha_quick_shapes'
    quick_zoo.publish(name, 40.)
    index = load_index(quick_zoo.root)
    steps = make_plan(index, Wanted(['alpha'], ['shapes'], hardware='GPU'))
    assert kinds(steps) == [f'latency {name}', f'classes {name}']
    (quick_zoo.root / 'data/shapes/val.json').unlink()
    steps = make_plan(index, Wanted(['alpha'], ['shapes'], hardware='GPU'))
    assert steps[0].kind == 'data'


def test_models_are_trained_published_and_measured(workshop, capsys):
    steps = plan(workshop, methods=['alpha', 'boxes'], datasets=['shapes'],
                 seeds=(0, 1))
    run = GalleryRun(workshop.root, RunOptions())
    assert run(steps) and run.failures == {}
    assert calls(workshop) == [
        'train alpha_quick_shapes', 'train boxes_quick_shapes',
        'get_flops alpha_quick_shapes.py', 'benchmark alpha_quick_shapes.py',
        'get_flops boxes_quick_shapes.py', 'benchmark boxes_quick_shapes.py',
        'train alpha_quick_shapes', 'train boxes_quick_shapes'
    ]
    text = capsys.readouterr().out
    assert f'[1/{len(steps)}] train alpha_quick_shapes (no run record)' in text
    assert 'Iter(train) [ 3/9]' in text and 'mask AP 33.0' in text
    index = load_index(workshop.root)
    entry = index['alpha_quick_shapes']
    assert entry.metric('shapes', 'mask AP') == 33.
    assert (workshop.root / 'weights' / entry.weights_file).is_file()
    assert (workshop.records / 'alpha_quick_shapes.seed1.json').is_file()
    assert index['boxes_quick_shapes'].metric('shapes', 'box AP') == 20.
    # The stand-ins measured nothing; nothing else is left.
    left = plan(workshop, methods=['alpha', 'boxes'], datasets=['shapes'],
                seeds=(0, 1))
    assert not [step for step in left if step.kind == 'train']
    assert not run.is_new(steps[0])


def test_a_failure_stops_only_its_own_model(workshop):
    (workshop.root / 'broken').write_text('alpha_quick_shapes')
    steps = plan(workshop, methods=['alpha', 'boxes'], datasets=['shapes'])
    run = GalleryRun(workshop.root, RunOptions())
    assert run(steps)
    assert list(run.failures) == ['train alpha_quick_shapes']
    assert 'broken on purpose' in run.failures['train alpha_quick_shapes']
    assert calls(workshop) == [
        'train alpha_quick_shapes', 'train boxes_quick_shapes',
        'get_flops boxes_quick_shapes.py', 'benchmark boxes_quick_shapes.py'
    ]
    assert not any(run.is_new(step) for step in steps
                   if step.model.stem == 'alpha')
    (workshop.root / 'broken').write_text('')
    again = GalleryRun(workshop.root, RunOptions())
    assert again(plan(workshop, methods=['alpha'], datasets=['shapes']))
    assert load_index(workshop.root)['alpha_quick_shapes'].sha256


def test_the_budget_cuts_a_training_off(workshop):
    (workshop.root / 'slow').touch()
    steps = plan(workshop, methods=['alpha'], datasets=['shapes'])
    run = GalleryRun(workshop.root, RunOptions(budget_min=4 / 60))
    assert not run(steps) and run.failures == {}
    assert calls(workshop) == ['train alpha_quick_shapes']
    folder = work_dir(workshop.root, steps[0])
    config = workshop.config('alpha_quick_shapes')
    assert state_of(folder, config) == 'begun'
    (workshop.root / 'slow').unlink()
    assert GalleryRun(workshop.root, RunOptions())(steps[:1])
    assert not folder.with_name(folder.name + '.old').exists()
    assert state_of(folder, config) == 'finished'
    # Finished but, say, lost from the records: published without training.
    calls(workshop)
    (workshop.records / 'alpha_quick_shapes.json').unlink()
    assert GalleryRun(workshop.root, RunOptions())(steps[:1])
    assert calls(workshop) == []
    assert (workshop.records / 'alpha_quick_shapes.json').is_file()


def test_runs_of_other_settings_are_not_resumed(workshop):
    steps = plan(workshop, methods=['alpha'], datasets=['shapes'])
    folder = work_dir(workshop.root, steps[0])
    config = workshop.config('alpha_quick_shapes')
    assert state_of(folder, config) == 'empty'
    GalleryRun(workshop.root, RunOptions())(steps[:1])
    config.write_text(config.read_text().replace('0.25', '0.5'))
    assert state_of(folder, config) == 'stale'
    GalleryRun(workshop.root, RunOptions())(steps[:1])
    assert state_of(folder, config) == 'finished'
    assert folder.with_name(folder.name + '.old').is_dir()
    (folder / 'run_record_train.json').write_text('{')
    assert state_of(folder, config) == 'stale'
    (folder / 'run_record_train.json').unlink()
    assert state_of(folder, config) == 'stale'  # checkpoints of what?


@pytest.mark.parametrize('right', [True, False])
def test_classes_are_measured_with_the_published_weights(workshop, right):
    GalleryRun(workshop.root, RunOptions())(
        plan(workshop, methods=['alpha'], datasets=['shapes']))
    if not right:
        (workshop.root / 'other_weights').touch()
    steps = plan(workshop, methods=['alpha'], kinds=['classes'])
    assert kinds(steps) == ['classes alpha_quick_shapes']
    run = GalleryRun(workshop.root, RunOptions())
    assert run(steps)
    found = class_metrics(workshop.root, 'alpha_quick_shapes')
    assert found == (dict(ring=.125) if right else {})
    assert ('other weights' in ''.join(run.failures.values())) != right
    assert bool(plan(workshop, methods=['alpha'], kinds=['classes'])
                ) != right


def test_second_seeds_are_found_anew_and_pages_written(workshop,
                                                       monkeypatch):
    """Who leads is known only when the first seeds are there."""
    pages = []
    asked = []

    def wanted(root):
        index = load_index(root)
        asked.append([model.name for model in index.models
                      if model.sha256 and 'shapes' in model.name])
        return asked[-1]

    monkeypatch.setattr(gallery_run, 'wanted_seeds', wanted)
    for name in ('draw_pictures', 'update_readmes', 'write_page'):
        result = {} if name == 'draw_pictures' else []
        monkeypatch.setattr(
            gallery_run, name,
            lambda *_, name=name, result=result: pages.append(name) or result)
    (workshop.root / 'broken').write_text('boxes_quick_shapes')
    run = gallery_run.complete_gallery(
        workshop.root,
        Wanted(['alpha', 'boxes'], ['shapes'], hardware=HARDWARE,
               kinds=['train']), RunOptions(), True)
    assert list(run.failures) == ['train boxes_quick_shapes']
    assert calls(workshop) == ['train alpha_quick_shapes',
                               'train boxes_quick_shapes',
                               'train alpha_quick_shapes']
    assert (workshop.records / 'alpha_quick_shapes.seed1.json').is_file()
    assert asked[0] == [] and asked[1] == ['alpha_quick_shapes']
    assert pages == ['draw_pictures', 'update_readmes', 'write_page']


def test_another_process_is_left_alone(workshop, capsys):
    steps = plan(workshop, methods=['alpha', 'boxes'], datasets=['shapes'])
    one = GalleryRun(workshop.root, RunOptions())
    other = GalleryRun(workshop.root, RunOptions())
    with one._lock('alpha_quick_shapes', wait=False) as mine:
        assert mine and other(steps)
    shown = capsys.readouterr().out
    assert 'another process is at it' in shown
    # What the other one does says nothing about this one's pace.
    place = [str(step) for step in steps].index('train boxes_quick_shapes')
    left = to_duration(sum(step.seconds for step in steps[place:]))
    line, = [line for line in shown.splitlines()
             if 'train boxes_quick_shapes' in line]
    assert left != '0 min' and line.endswith(f'about {left} to go')
    assert other.failures == {} and calls(workshop) == [
        'train boxes_quick_shapes', 'get_flops boxes_quick_shapes.py',
        'benchmark boxes_quick_shapes.py'
    ]


def test_an_interrupt_ends_the_tool(workshop):
    (workshop.root / 'slow').touch()
    steps = plan(workshop, methods=['alpha'], datasets=['shapes'])
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(4)
    try:
        with pytest.raises(KeyboardInterrupt):
            GalleryRun(workshop.root, RunOptions())(steps)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    record = json.loads((work_dir(workshop.root, steps[0]) /
                         'run_record_train.json').read_text())
    assert record['status'] == 'running'
    marks = [path for path in os.listdir('/proc') if path.isdigit()]
    for mark in marks:
        try:
            command = open(f'/proc/{mark}/cmdline').read()
            where = os.readlink(f'/proc/{mark}/cwd')
        except OSError:
            continue
        assert not ('tools/train.py' in command
                    and where == str(workshop.root))


@pytest.mark.parametrize('wrong', [dict(budget_min=0), dict(threads=-1),
                                   dict(images=0)])
def test_options(wrong):
    with pytest.raises(ValueError, match='must be positive'):
        RunOptions(**wrong)
