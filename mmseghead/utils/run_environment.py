"""What a run was made of: command, code, versions and machine."""
import importlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Optional

_MODULES = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseghead', 'numpy',
            'pycocotools', 'faster_coco_eval')

_READ_BY_NO_RUN = (':(exclude,top)docs', ':(exclude,top,glob)**/*.md',
                   ':(exclude,top,glob)configs/*/metafile.yml')


def command_line(repository: Optional[Path] = None) -> str:
    """Return the command of this process, quoted for a shell.

    The interpreter is written ``python`` and paths below ``repository`` or
    the working folder relative to it, so that the command can be repeated
    elsewhere.
    """
    roots = [str(Path.cwd())]
    if repository is not None:
        roots.append(str(repository))
    words = []
    for word in sys.argv:
        for root in roots:
            word = word.replace(root + os.sep, '')
        words.append(word)
    return shlex.join(['python', *words])


def repository_root() -> Optional[Path]:
    """Return the git checkout this package is imported from, if it is one."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / '.git').exists() else None


def git_state() -> Dict[str, Any]:
    """Return the commit of the checkout and whether tracked files differ.

    Documents and metafiles are left out: no run reads them, and publishing a
    run changes them. Both values are None outside a checkout or without git.
    """
    root = repository_root()
    state: Dict[str, Any] = dict(hash=None, dirty=None)
    if root is None:
        return state
    try:
        state['hash'] = _git(root, 'rev-parse', 'HEAD')
        changed = _git(root, 'status', '--porcelain', '--untracked-files=no',
                       '--', '.', *_READ_BY_NO_RUN)
        state['dirty'] = bool(changed)
    except (OSError, subprocess.SubprocessError):
        pass
    return state


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ['git', '-C', str(root), *arguments],
        capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def versions() -> Dict[str, Optional[str]]:
    """Return Python's version, the packages' and the live ops backend.

    A package that can't be imported has the version None.
    """
    found: Dict[str, Optional[str]] = dict(python=platform.python_version())
    for name in _MODULES:
        found[name] = _version_of(name)
    found['ops_backend'] = importlib.import_module('mmseghead.ops').backend()
    return found


def _version_of(name: str) -> Optional[str]:
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    version = getattr(module, '__version__', None)
    if version is None:
        try:
            version = importlib.metadata.version(name.replace('_', '-'))
        except importlib.metadata.PackageNotFoundError:
            return 'unknown'
    return str(version)


def hardware() -> Dict[str, Any]:
    """Return the processor's name, cores, memory and load of the machine.

    ``cores`` counts those this process may use, ``load_average`` is that of
    the last 1, 5 and 15 minutes.
    """
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith('model name'):
                cpu = line.split(':', 1)[1].strip()
                break
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return dict(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages / 2**30, 1),
        load_average=[round(value, 2) for value in os.getloadavg()])
