"""Fills ``.mim``, where mim and mmengine look for configs and tools.

Everything else about the package is in setup.cfg. Three facts decide what is
done here:

* mmengine resolves ``_base_ = 'mmseghead::...'`` in ``mmseghead/.mim``.
* mim takes the first entry of a wheel's file list for the package's root.
  Sorted, that is ``mmseghead-<version>.dist-info``, unless a folder that sorts
  earlier holds a second copy: ``_mmseghead_mim/.mim``.
* mim takes the repository for the root of an editable install, and knows the
  index only as ``model-index.yml``.
"""
import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
MMENGINE_HOME = Path('mmseghead', '.mim')
MIM_HOME = Path('_mmseghead_mim', '.mim')
INDEX = 'model-index.yml'
# Name in a home -> its source in the repository.
PARTS = {'configs': 'configs', 'tools': 'tools', INDEX: 'model_index.yml'}
KINDS = ('.py', '.yml', '.md', '.sh')


def remove(path: Path) -> None:
    """Remove a file, a link or a generated folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(home: Path) -> None:
    """Fill ``home`` with copies of the configs, the tools and the index."""

    def other_kinds(folder: str, names: list) -> list:
        return [
            name for name in names if name == '__pycache__' or not (
                name.endswith(KINDS) or Path(folder, name).is_dir())
        ]

    remove(home)
    home.mkdir(parents=True)
    for name, source in PARTS.items():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, home / name, ignore=other_kinds)
        elif (ROOT / source).is_file():
            shutil.copyfile(ROOT / source, home / name)


def link(home: Path) -> None:
    """Fill ``home`` with relative links, so that edits are seen at once."""
    remove(home)
    home.mkdir(parents=True)
    for name, source in PARTS.items():
        (home / name).symlink_to(os.path.relpath(ROOT / source, home))


def link_editable() -> None:
    """Link what an editable install needs inside the repository."""
    try:
        link(ROOT / MMENGINE_HOME)
        remove(ROOT / INDEX)
        (ROOT / INDEX).symlink_to(PARTS[INDEX])
    except OSError:
        # A file system without links: copies work until the sources change.
        copy(ROOT / MMENGINE_HOME)
        shutil.copyfile(ROOT / PARTS[INDEX], ROOT / INDEX)


class BuildPy(build_py):
    """Build the package; runs for wheels and for editable installs alike."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            link_editable()
            return
        for home in (MMENGINE_HOME, MIM_HOME):
            copy(Path(self.build_lib) / home)


class Sdist(sdist):
    """Build the source archive; ``mim search --remote`` reads it unbuilt."""

    def make_release_tree(self, base_dir, files) -> None:
        super().make_release_tree(base_dir, files)
        copy(Path(base_dir) / MMENGINE_HOME)


if __name__ == '__main__':
    setup(cmdclass={'build_py': BuildPy, 'sdist': Sdist})
