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
