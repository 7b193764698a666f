"""From nothing to a trained, tested and drawn Mask R-CNN: make quickstart.

A step that is done is skipped, training that was interrupted is resumed. A
changed config gets a work folder of its own.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/mask_rcnn/mask-rcnn_quick_shapes.py'
METRICS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


def step(name: str, done: Callable[[], bool], command: List[str]) -> None:
    """Run the command unless the step is done, and say how long it took."""
    if done():
        print(f'==> {name}: done before', flush=True)
        return
    print(f'\n==> {name}', flush=True)
    begin = time.monotonic()
    code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        sys.exit(f'==> {name}: FAILED; run `make quickstart` again to go on '
                 'from here, or `make doctor` to look for the cause.')
    print(f'==> {name}: {time.monotonic() - begin:.0f} s', flush=True)


def read_record(work_dir: Path, kind: str) -> Dict:
    """Return a run record, empty where there is none that is finished."""
    path = work_dir / f'run_record_{kind}.json'
    record = json.loads(path.read_text()) if path.is_file() else {}
    return record if record.get('status') == 'finished' else {}


def checkpoint_of(work_dir: Path) -> Path:
    """Return the checkpoint of a finished training."""
    return work_dir / read_record(work_dir, 'train')['checkpoint']['file']


def tested(work_dir: Path) -> bool:
    """Whether the last checkpoint is the one that was tested."""
    train, test = (read_record(work_dir, kind) for kind in ('train', 'test'))
    return bool(test) and test['checkpoint'] == train['checkpoint']


def print_table(metrics: Dict[str, float]) -> None:
    """Print average precision of masks and boxes, on the 0-100 scale."""
    print('\n' + ' ' * 6 + ''.join(
        f'{name.replace("mAP", "AP"):>8}' for name in METRICS))
    for label, kind in (('mask', 'segm'), ('box', 'bbox')):
        row = [100 * metrics[f'coco/{kind}_{name}'] for name in METRICS]
        print(f'{label:<6}' + ''.join(f'{value:8.1f}' for value in row))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--config', default=CONFIG, help='config on shapes')
    parser.add_argument('--gpus', default='0', help='0 trains on the CPU')
    parser.add_argument('--pictures', default='12', help='how many to draw')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='passed to training')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    content = Config.fromfile(args.config).pretty_text + ' '.join(
        args.cfg_options)
    key = hashlib.sha256(content.encode()).hexdigest()[:8]
    work_dir = Path('work_dirs', f'quickstart-{key}')
    predictions = work_dir / 'predictions'
    pictures = work_dir / 'pictures'
    python = sys.executable
    # The command, not `python -m mim`, which would take this checkout's
    # egg-info for the installation.
    mim = str(Path(python).with_name('mim'))
    common = ['--gpus', args.gpus, '--yes', '--work-dir', str(work_dir)]
    options = ['--cfg-options', *args.cfg_options] * bool(args.cfg_options)

    step('data set', lambda: False,
         [python, 'tools/dataset_converters/make_shapes.py'])
    step('training', lambda: bool(read_record(work_dir, 'train')),
         [mim, 'train', 'mmseghead', args.config, *common, '--resume',
          *options])
    outputs = f'test_evaluator.outfile_prefix={predictions}'
    step('test', lambda: tested(work_dir),
         [mim, 'test', 'mmseghead', args.config, '--checkpoint',
          str(checkpoint_of(work_dir)), *common, '--cfg-options', outputs])
    step('pictures', lambda: any(pictures.glob('*.*')),
         [python, 'tools/analysis_tools/draw_predictions.py', args.config,
          f'{predictions}.segm.json', '--out', str(pictures),
          '--num', args.pictures])
    print_table(read_record(work_dir, 'test')['metrics'])
    print(f'\ncheckpoint   {checkpoint_of(work_dir)}\n'
          f'run records  {work_dir}/run_record_*.json\n'
          f'pictures     {pictures}/ (ground truth beside predictions)')


if __name__ == '__main__':
    main()
