"""The benchmark of the COCO evaluators runs and finds them equal."""
import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_coco_evaluators(repository, tmp_path):
    out = tmp_path / 'out.json'
    script = repository / 'tools/benchmarks/benchmark_coco_eval.py'
    options = ['--images', '4', '--classes', '3', '--repeats', '1']
    done = subprocess.run(
        [sys.executable, script, *options, '--out', out],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(out.read_text())
    assert figures['detections'] == 4 * 10 * 3
    for kind in ('segm', 'bbox'):
        assert 0 < figures[kind]['ap'] < 1
        assert figures[kind]['largest_gap'] < 1e-9
        assert figures[kind]['ratio'] > 0
