"""Benchmarks named in READMEs still run; their times are not tested."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_refinement_heads(tmp_path):
    out = tmp_path / 'out.json'
    command = [
        sys.executable, ROOT / 'tools/benchmarks/benchmark_refinement_heads.py',
        '--rois', '1', '--repeats', '1', '--threads', '1', '--heads', 'EffSeg',
        'RefineMask, sparse', '--out', out
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(out.read_text())
    assert list(figures) == ['RefineMask', 'EffSeg', 'RefineMask, sparse']
    for parameters, gmac, milliseconds, ratio in figures.values():
        assert min(parameters, gmac, milliseconds, ratio) > 0
    assert figures['EffSeg'][1] < figures['RefineMask'][1]
