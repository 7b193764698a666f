"""Repair what pip cannot get right by itself, after an installation.

Needs only the standard library and may be run again at any time.
"""
import argparse
import subprocess
import sys
from importlib.metadata import version
from typing import List

HEADLESS = 'opencv-python-headless'


def works(statement: str) -> bool:
    """Whether a fresh interpreter can run the statement."""
    return subprocess.run([sys.executable, '-c', statement],
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def pip_install(*arguments: str) -> bool:
    """Install over what is there, without looking at dependencies."""
    command: List[str] = [
        sys.executable, '-m', 'pip', 'install', '--force-reinstall',
        '--no-deps', *arguments
    ]
    return subprocess.run(command).returncode == 0


def repair_opencv() -> bool:
    """Let the headless OpenCV win where the other one cannot be imported.

    Dependencies of mmdet ask for both; they share one folder, the last one
    installed wins, and without a desktop's libGL one of them fails.
    """
    if works('import cv2'):
        return True
    print('OpenCV cannot be imported here: installing its headless build.')
    return pip_install(f'{HEADLESS}=={version(HEADLESS)}') and works(
        'import cv2')


def use_compiled_operators(wheels: str) -> None:
    """Replace an mmcv without compiled operators by a wheel that has them."""
    if works('import torch, mmcv._ext'):
        return
    installed = f'onedl-mmcv=={version("onedl-mmcv")}'
    found = pip_install('--no-index', '--find-links', wheels, '--only-binary',
                        ':all:', installed)
    if not found or not works('import torch, mmcv._ext'):
        print(f'No wheel in {wheels} is {installed} for this Python and '
              'torch: the pure-PyTorch operators are used.')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--wheels', help='folder with compiled wheels')
    wheels = parser.parse_args().wheels
    if not repair_opencv():
        print('OpenCV still cannot be imported: python -c "import cv2" says '
              'why.', file=sys.stderr)
        return 1
    if wheels:
        use_compiled_operators(wheels)
    return 0


if __name__ == '__main__':
    sys.exit(main())
