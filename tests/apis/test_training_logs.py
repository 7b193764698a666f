"""Logs of trainings: joined, summed up and exported."""
import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from mmseghead.apis.training_logs import (default_patterns, logs_to_csv,
                                          logs_to_json, match_keys, read_run,
                                          smooth, summary_table, timing)


def train_rows(start, stop, step=20, **extra):
    return [dict(loss=100.0 / i, lr=0.1, time=0.5, data_time=0.05, iter=i,
                 step=i, **extra) for i in range(start, stop + 1, step)]


def val_row(value, step=0):
    # As mmengine writes it: its own step counts epochs.
    return {'coco/segm_mAP': value, 'time': 9.0, 'data_time': 3.0,
            'step': step}


def write(folder, stamp, rows, tail=''):
    file = folder / stamp / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(r) + '\n' for r in rows) + tail)
    return file


def test_one_run(tmp_path):
    file = write(tmp_path / 'work', '20260101_120000',
                 [*train_rows(20, 60), val_row(0.3), *train_rows(80, 120),
                  val_row(0.4)])
    for path in (tmp_path / 'work', file, file.parent, file.parent.parent):
        run = read_run(path)
        assert run.name == 'work' and run.files == [file]
        assert run.series['loss'].steps.tolist() == [20, 40, 60, 80, 100, 120]
        assert run.series['loss'].values[1] == 2.5
        # Validations stand where the training was.
        assert run.series['coco/segm_mAP'].steps.tolist() == [60, 120]
        assert run.series['coco/segm_mAP'].values.tolist() == [0.3, 0.4]
        assert not {'step', 'iter', 'epoch'} & set(run.series)
        assert not run.notes
    assert read_run(file, 'mine').name == 'mine'


def test_a_run_by_epochs(tmp_path):
    rows = [dict(row, epoch=row['step'] // 40 + 1)
            for row in train_rows(10, 80, 10)]
    rows = rows[:4] + [val_row(0.1, 1)] + rows[4:] + [val_row(0.2, 2)]
    write(tmp_path, '20260101_120000', rows)
    run = read_run(tmp_path)
    assert run.series['coco/segm_mAP'].steps.tolist() == [40, 80]


def test_the_newest_run_counts(tmp_path):
    write(tmp_path, '20260101_120000', train_rows(20, 200))
    newest = write(tmp_path, '20260102_120000', train_rows(20, 60))
    assert read_run(tmp_path).files == [newest]


def test_resumed_runs_are_joined(tmp_path):
    # Killed at 160, resumed from 120; killed at 200, resumed from 180.
    files = [
        write(tmp_path, '20260101_100000',
              [*train_rows(20, 120, kind=1), val_row(0.1),
               *train_rows(140, 160, kind=1)]),
        write(tmp_path, '20260101_110000',
              [*train_rows(140, 180, kind=2), val_row(0.2),
               *train_rows(200, 200, kind=2)]),
        write(tmp_path, '20260101_120000', train_rows(200, 240, kind=3)),
    ]
    run = read_run(tmp_path)
    assert run.files == files
    assert run.series['loss'].steps.tolist() == list(range(20, 241, 20))
    assert run.series['kind'].values.tolist() == [1] * 6 + [2] * 3 + [3] * 3
    assert run.series['coco/segm_mAP'].steps.tolist() == [120, 180]
    files[0].unlink()
    (note, ) = read_run(tmp_path).notes
    assert note.startswith('The log begins after iteration 120')


def test_tests_and_dead_starts_are_passed_over(tmp_path):
    good = write(tmp_path, '20260101_120000', train_rows(20, 60))
    write(tmp_path, '20260101_130000', [val_row(0.5)])
    write(tmp_path, '20260101_140000', [])
    assert read_run(tmp_path).files == [good]
    write(tmp_path / 'other', '20260101_130000', [val_row(0.5)])
    alone = read_run(tmp_path / 'other')
    assert alone.series['coco/segm_mAP'].values.tolist() == [0.5]
    assert timing(alone) is None


def test_a_cut_last_line_is_left_out(tmp_path):
    file = write(tmp_path, '20260101_120000', train_rows(20, 60),
                 tail='{"loss": 0.')
    assert len(read_run(tmp_path).series['loss'].steps) == 3
    file.write_text('{"loss": 1, "lr": 1, "step": 1}\n{"lo\n{"loss": 1}\n')
    with pytest.raises(ValueError, match='Line 2 of .*scalars.json is no'):
        read_run(tmp_path)
    file.write_text('[1]\n')
    with pytest.raises(ValueError, match='Line 1 of .* must be an object'):
        read_run(tmp_path)


def test_missing_and_empty_logs_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no file or folder .*gone'):
        read_run(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match='holds no logs. Give a work'):
        read_run(tmp_path)
    write(tmp_path, '20260101_120000', [])
    with pytest.raises(ValueError, match='are empty'):
        read_run(tmp_path)


def test_losses_that_are_not_finite_are_reported(tmp_path):
    rows = train_rows(20, 100)
    rows[2]['loss'] = float('nan')
    rows[4]['loss'] = float('inf')
    write(tmp_path, '20260101_120000', rows)
    run = read_run(tmp_path)
    assert run.notes == ['loss is not finite at 2 of 5 rows, first at '
                         'iteration 60.']
    table = summary_table(run, ['loss'])
    assert table[1] == ['loss', '5', '5', '1.25', '1.25', '80', '5', '20']
    data = json.loads(logs_to_json([run]))
    values = next(iter(data.values()))['series']['loss']['values']
    assert values == [5.0, 2.5, None, 1.25, None]
    for row in rows:
        row['loss'] = float('nan')
    write(tmp_path / 'bad', '20260101_120000', rows)
    assert summary_table(read_run(tmp_path / 'bad'), ['loss'])[1] == [
        'loss', '5', *['-'] * 6]


def test_times_are_those_of_the_training(tmp_path):
    rows = train_rows(20, 80)
    for row, seconds in zip(rows, (2.0, 0.5, 0.5, 1.0)):
        row['time'] = seconds
    write(tmp_path, '20260101_120000', [*rows, val_row(0.1)])
    result = timing(read_run(tmp_path))
    assert result == pytest.approx((1.0, 0.75, 0.5, 2.0, 0.05, 80))


def test_keys_are_found_or_listed(tmp_path):
    write(tmp_path / 'run', '20260101_120000',
          [*train_rows(20, 40, loss_mask=1.0), val_row(0.1)])
    run = read_run(tmp_path / 'run')
    assert match_keys(run, 'loss') == ['loss']
    assert match_keys(run, 'loss*') == ['loss', 'loss_mask']
    assert match_keys(run, 'nothing*', required=False) == []
    with pytest.raises(KeyError, match="run has no key 'mAP'. It has: coco/s"
                       'egm_mAP, data_time, loss, loss_mask, lr, time'):
        match_keys(run, 'mAP')
    assert default_patterns([run]) == ['loss*', '*_mAP', 'lr']
    assert default_patterns([run, run]) == ['loss', '*segm_mAP', 'lr']


def test_smooth_is_a_mean_of_what_came_before():
    values = np.array([4.0, 2.0, np.nan, 6.0, 1.0])
    assert smooth(values, 1) == pytest.approx(values, nan_ok=True)
    assert smooth(values, 3) == pytest.approx([4, 3, 3, 4, 3.5])
    assert smooth(values, 9) == pytest.approx([4, 3, 3, 4, 3.25])
    assert np.isnan(smooth(np.array([np.nan, 1.0]), 2)[0])
    with pytest.raises(ValueError, match='an int >= 1, got 0'):
        smooth(values, 0)


def test_csv_holds_every_number(tmp_path):
    write(tmp_path / 'run', '20260101_120000',
          [*train_rows(20, 60), val_row(0.1)])
    run = read_run(tmp_path / 'run')
    rows = list(csv.DictReader(io.StringIO(logs_to_csv([run, run]))))
    assert len(rows) == 2 * sum(len(s.steps) for s in run.series.values())
    assert rows[1] == dict(run='run', key='loss', step='40', value='2.5')


def test_the_tool(tmp_path, repository):
    for name in ('one', 'two'):
        write(tmp_path / name, '20260101_120000',
              [*train_rows(20, 100), val_row(0.25)])
    out = [tmp_path / f'out.{end}' for end in ('png', 'json', 'csv')]
    done = subprocess.run(
        [sys.executable, repository / 'tools/analysis_tools/analyze_logs.py',
         tmp_path / 'one', tmp_path / 'two', '--smooth', '2', '--out', out[0],
         '--json', out[1], '--csv', out[2]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'coco/segm_mAP     1   0.25' in done.stdout
    assert '100 iterations, seconds each: mean 0.500' in done.stdout
    assert out[0].read_bytes().startswith(b'\x89PNG')
    assert list(json.loads(out[1].read_text())) == ['one', 'two']
    assert out[2].read_text().startswith('run,key,step,value\none,loss,20,')
