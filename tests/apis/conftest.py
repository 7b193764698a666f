"""A small zoo on disk: configs, metafiles, a checkpoint and its records."""
import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

CONFIG = '''model = dict(type='Fake', channels={channels})
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.25))
train_cfg = dict(max_epochs=3)
train_dataloader = dict(batch_size=4, num_workers=2)
'''
METAFILE = '''# Written by hand.
Collections:
  - Name: Solo Fake
    Metadata:
      Architecture:
        - FPN
    Paper: https://arxiv.org/abs/0000.00000
    README: README.md

# The models.
Models:
  - Name: fake_r50_fpn_1x_coco  # the paper's setting
    In Collection: Solo Fake
    Config: configs/fake/fake_r50_fpn_1x_coco.py
    Metadata:
      Parameters: 7
      Training Data: COCO
    Results:
      - Task: Instance Segmentation
        Dataset: COCO
        Metrics:
          mask AP: 33.9
    Weights: ''
    Source: reported by mmdet

  # Kept for its comment.
  - Name: fake_quick_shapes
    In Collection: Solo Fake
    Config: configs/fake/fake_quick_shapes.py
    Weights: ''
'''


class FakeZoo:
    """A checkout in a folder, with one finished training."""
    name = 'fake_quick_nuclei'

    def __init__(self, folder: Path) -> None:
        self.root = folder / 'zoo'
        self.mirror = folder / 'mirror'
        self.work_dir = folder / 'work'
        self.metafile = self.root / 'configs' / 'fake' / 'metafile.yml'
        self.checkpoint = self.work_dir / 'epoch_3.pth'
        self.train_record = self.work_dir / 'run_record_train.json'
        self.test_record = self.work_dir / 'run_record_test.json'
        method = self.metafile.parent
        method.mkdir(parents=True)
        self.work_dir.mkdir()
        for name in ('fake_r50_fpn_1x_coco', 'fake_quick_shapes', self.name):
            (method / f'{name}.py').write_text(CONFIG.format(channels=6))
        (method / 'README.md').write_text('# Fake\n')
        self.metafile.write_text(METAFILE)
        (self.root / 'model_index.yml').write_text(
            'Import:\n  - configs/fake/metafile.yml\n')
        self.train()

    def train(self, **extra) -> None:
        """Write the checkpoint and its train record."""
        state = OrderedDict([('conv.weight', torch.arange(30.).view(2, 15)),
                             ('bn.steps', torch.tensor(9))])
        state._metadata = OrderedDict([('', dict(version=1)),
                                       ('bn', dict(version=2))])
        meta = dict(
            epoch=3,
            iter=45,
            cfg='',
            time='now',
            dataset_meta=dict(classes=('nucleus', ), palette=np.eye(1, 3)))
        torch.save(
            dict(
                state_dict=state,
                meta=meta,
                optimizer=dict(state=[1, 2]),
                message_hub=dict(log=np.zeros(3)),
                param_schedulers=[],
                **extra), self.checkpoint)
        self.write(self.train_record, self.record('train'))

    def record(self, kind: str, /, **changes) -> dict:
        """Return a finished record about the checkpoint."""
        text = CONFIG.format(channels=6) + "work_dir = 'somewhere'\n"
        metrics = {
            'coco/bbox_mAP': 0.414,
            'coco/segm_mAP': 0.409,
            'coco/segm_mAP_50': 0.7,
            'coco/segm_mAP_75': 0.385
        }
        record = dict(
            schema=1,
            kind=kind,
            status='finished',
            config=dict(
                name=self.name,
                path='configs/fake/fake_quick_nuclei.py',
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                text=text),
            versions=dict(python='3.11', torch='2'),
            hardware=dict(cpu='A CPU', cores=2, gpus=[]),
            seed=3,
            data=dict(val=dict(classes=['nucleus'], sha256='ab')),
            schedule=dict(epochs=3, iterations=45, batch_size=4),
            times=dict(train_s=332.0),
            model=dict(parameters=31),
            metrics=metrics,
            checkpoint=dict(
                file=self.checkpoint.name,
                sha256=hashlib.sha256(
                    self.checkpoint.read_bytes()).hexdigest()))
        record.update(changes)
        return record

    @staticmethod
    def write(path: Path, record: dict) -> Path:
        path.write_text(json.dumps(record))
        return path

    def files(self) -> dict:
        """Return every file of checkout and mirror with its content."""
        return {
            path: path.read_bytes()
            for folder in (self.root, self.mirror)
            for path in sorted(folder.rglob('*')) if path.is_file()
        }


@pytest.fixture
def zoo(tmp_path: Path) -> FakeZoo:
    return FakeZoo(tmp_path)


QUICK = '''model = dict(type='mmdet.{detector}', channels=6{head})
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.25))
train_cfg = dict(max_iters=9)
train_dataloader = dict(batch_size=4, num_workers=2)
val_evaluator = dict(metric={metric})
randomness = dict(seed=0)
'''
QUICK_METAFILE = '''Collections:
  - Name: {collection}
    README: README.md
Models:
'''
QUICK_ENTRY = '''  - Name: {name}
    In Collection: {collection}
    Config: configs/{folder}/{name}.py
    Weights: ''
'''
#: Stem -> folder, collection, detector, whether it has a RoI head and masks.
QUICK_MODELS = {
    'alpha': ('alpha', 'Alpha', 'FCOS', False, True),
    'alpha-small': ('alpha', 'Alpha', 'FCOS', False, True),
    'beta-fcos': ('beta', 'Beta', 'FCOS', False, True),
    'beta-retina': ('beta', 'Beta', 'RetinaNet', True, True),
    'boxes': ('boxes', 'Boxes', 'FCOS', False, False),
}


class QuickZoo:
    """A checkout with quick configs of five methods on two data sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / 'docs/run_records'
        self.records.mkdir(parents=True)
        (root / 'data/shapes').mkdir(parents=True)
        (root / 'data/shapes/val.json').write_text('{}')
        folders = {}
        for stem, (folder, name, detector, head, masks) in \
                QUICK_MODELS.items():
            place = root / 'configs' / folder
            place.mkdir(parents=True, exist_ok=True)
            (place / 'README.md').write_text('# Quick\n')
            text = QUICK.format(
                detector=detector, head=', roi_head={}' if head else '',
                metric=['bbox', 'segm'] if masks else ['bbox'])
            for dataset in ('shapes', 'nuclei'):
                config = f'{stem}_quick_{dataset}'
                (place / f'{config}.py').write_text(text)
                folders.setdefault(
                    folder, QUICK_METAFILE.format(collection=name))
                folders[folder] += QUICK_ENTRY.format(
                    name=config, collection=name, folder=folder)
        for folder, text in folders.items():
            (root / f'configs/{folder}/metafile.yml').write_text(text)
        (root / 'README.md').write_text('# Zoo\n')
        (root / 'model_index.yml').write_text('Import:\n' + ''.join(
            f'  - configs/{folder}/metafile.yml\n' for folder in folders))

    def config(self, name: str) -> Path:
        return next(self.root.glob(f'configs/*/{name}.py'))

    def record(self, name: str, ap: float, seed: int = 0, **changes) -> dict:
        """Return a finished record of the config as it is."""
        metrics = {'coco/bbox_mAP': ap / 100, 'coco/segm_mAP': ap / 100,
                   'coco/boundary_mAP': ap / 200}
        if name.startswith('boxes'):
            metrics = {'coco/bbox_mAP': ap / 100}
        record = dict(
            schema=1, kind='train', status='finished', seed=seed,
            config=dict(name=name, path='',
                        text=self.config(name).read_text()),
            versions=dict(python='3.11'), metrics=metrics,
            hardware=dict(cpu='A CPU', cores=2, gpus=[]),
            times=dict(train_s=300., total_s=330.),
            peak_memory_mib=dict(host=1500., gpu=None),
            schedule=dict(epochs=None, iterations=9, batch_size=4,
                          images_seen=36),
            data=dict(train=dict(images=5), val=dict(images=3)),
            model=dict(parameters=31), checkpoint=dict(file='a', sha256='b'))
        record.update(changes)
        return record

    def publish(self, name: str, ap: float, classes=None, **changes) -> None:
        """File a model's record, and what else its entry states."""
        from mmseghead.apis.metafile import write_entry
        from mmseghead.apis.model_index import load_index
        record = self.record(name, ap, **changes)
        digest = hashlib.sha256(name.encode()).hexdigest()
        file = f'{name}-{digest[:8]}.pth'
        record['published'] = dict(file=file, sha256=digest)
        for label, value in (classes or {}).items():
            record['metrics'][f'coco/segm_{label}_precision'] = value / 100
        (self.records / f'{name}.json').write_text(json.dumps(record))
        entry = load_index(self.root)[name]
        latency = {'value': 10. * ap, 'hardware': '2 threads of A CPU',
                   'batch size': 1, 'mode': 'FP32', 'weights': file,
                   'stages': {'backbone': 4.0, 'neck': 1.0}}
        write_entry(entry.metafile, {
            **entry.raw, 'SHA256': digest, 'Weights': f'mmseghead://{file}',
            'Run Record': f'docs/run_records/{name}.json',
            'Source': 'measured here',
            'Metadata': {'Parameters': 31, 'FLOPs': 2000,
                         'inference time (ms/im)': [latency]}
        })

    def seed(self, name: str, seed: int, ap: float, **changes) -> None:
        """File the record of a further seed."""
        (self.records / f'{name}.seed{seed}.json').write_text(
            json.dumps(self.record(name, ap, seed, **changes)))


@pytest.fixture
def quick_zoo(tmp_path: Path) -> QuickZoo:
    return QuickZoo(tmp_path / 'zoo')
