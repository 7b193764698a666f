"""Renew the tables of results in all READMEs from the model index."""
import argparse

from mmseghead.apis.model_index import find_root
from mmseghead.apis.readme_tables import update_readmes


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    root = find_root()
    changed = update_readmes(root)
    for path in changed:
        print(f'renewed {path.relative_to(root)}')
    if not changed:
        print('all tables are up to date')


if __name__ == '__main__':
    main()
