"""Fresh installations of the package, quick enough for tests.

They borrow every dependency from the running interpreter, need no network
and leave the checkout alone.
"""
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

_PIP = ('--no-deps', '--no-build-isolation', '--no-index', '--quiet')


def tracked_files(checkout: Path) -> Optional[list]:
    """Return the files that git knows, None where it is no checkout."""
    listing = subprocess.run(['git', 'ls-files', '-z'],
                             cwd=checkout,
                             capture_output=True)
    if listing.returncode:
        return None
    return [name for name in listing.stdout.decode().split('\0') if name]


def copy_checkout(checkout: Path, folder: Path) -> Path:
    """Copy the tracked files of a checkout, as a fresh clone has them.

    Raises:
        FileNotFoundError: if ``checkout`` is no git checkout.
    """
    names = tracked_files(checkout)
    if names is None:
        raise FileNotFoundError(f'{checkout} is no git checkout.')
    for name in names:
        # A file deleted but not yet committed is still listed.
        if (checkout / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, folder / name)
    return folder


def run_python(python: str, *arguments: str, cwd: Path,
               **variables: str) -> subprocess.CompletedProcess:
    """Run an interpreter apart from the tests' own paths and variables.

    Args:
        python: The interpreter.
        arguments: Its arguments.
        cwd: The folder to run in.
        variables: Further environment variables.

    Returns:
        The finished process, standard error joined to ``stdout``.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('PYTHON', 'PYTEST', 'MMSEGHEAD_WEIGHTS'))
    }
    environment.update(OMP_NUM_THREADS='1', **variables)
    return subprocess.run([python, *arguments],
                          cwd=cwd,
                          env=environment,
                          stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          text=True)


def build_wheel(source: Path, folder: Path) -> Path:
    """Build a wheel of a source tree and return its path.

    Raises:
        RuntimeError: with pip's output, if that fails.
    """
    run = run_python(
        sys.executable,
        '-m',
        'pip',
        'wheel',
        *_PIP,
        '--wheel-dir',
        str(folder),
        str(source),
        cwd=folder)
    if run.returncode:
        raise RuntimeError(f'The wheel could not be built:\n{run.stdout}')
    return next(folder.glob('*.whl'))


@dataclass(frozen=True)
class Installation:
    """A virtual environment with mmseghead in it.

    Args:
        python: Its interpreter.
        site: Its folder of installed packages.
        cwd: An empty folder to run commands in.
        variables: Environment variables of all its commands.
    """
    python: Path
    site: Path
    cwd: Path
    variables: Mapping[str, str]

    def run(self, *arguments: str, check: bool = True,
            **variables: str) -> str:
        """Run the interpreter and return what it printed.

        Raises:
            RuntimeError: with the output, if it fails and ``check`` is true.
        """
        run = run_python(
            str(self.python), *arguments, cwd=self.cwd,
            **{**self.variables, **variables})
        if check and run.returncode:
            raise RuntimeError(f'{arguments} returned {run.returncode}:\n'
                               f'{run.stdout}')
        return run.stdout


def install(folder: Path, *what: str) -> Installation:
    """Make a virtual environment and install into it with pip.

    Args:
        folder: An empty folder.
        what: Arguments of pip: a wheel, or ``'-e'`` and a source tree.

    Raises:
        RuntimeError: with the output, if pip fails.
    """
    home = folder / 'environment'
    subprocess.run(
        [sys.executable, '-m', 'venv', '--without-pip', str(home)],
        check=True)
    site = home / 'lib' / f'python{sys.version_info[0]}.{sys.version_info[1]}'
    site = site / 'site-packages'
    # Behind the environment's own packages; links of editable installs there
    # are not followed, so that the mmseghead under test is the only one.
    (site / 'borrowed.pth').write_text(sysconfig.get_path('purelib') + '\n')
    cwd = folder / 'cwd'
    cwd.mkdir()
    # mim keeps its cache in the home folder.
    made = Installation(home / 'bin' / 'python', site, cwd,
                        {'HOME': str(folder)})
    made.run('-m', 'pip', 'install', *_PIP, *what)
    return made
