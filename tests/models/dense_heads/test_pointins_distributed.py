"""PointINS in two processes, one of which sees images without objects."""
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = '''
import sys
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

rank, folder, world = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
distributed.init_process_group(
    'gloo', init_method=f'file://{folder}/store{world}', rank=rank,
    world_size=world)
register_all_modules(init_default_scope=False)
init_default_scope('mmseghead')
counts = [(3, 2), (0, 0)]
for name in sys.argv[4:]:
    torch.manual_seed(0)
    cfg = without_pretrained(Config.fromfile(name))
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()

    class Loss(torch.nn.Module):

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, data):
            return model.parse_losses(model(**data, mode='loss'))[1]

    wrapped = DistributedDataParallel(Loss())
    for _ in range(2):  # the second step fails if a gradient was missing
        model.zero_grad()
        data = model.data_preprocessor(
            fake_batch([(64, 96)] * 2, counts[rank], 6), True)
        losses = wrapped(data)
        losses['loss'].backward()
    grads = {n: p.grad for n, p in model.named_parameters()
             if 'mask_branch' in n}
    torch.save(dict(loss=losses['loss_mask'].item(), grads=grads),
               f'{folder}/{world}_{rank}_{type(model).__name__}.pt')
'''


def launch(folder, world, configs):
    script = folder / 'program.py'
    script.write_text(PROGRAM)
    running = [
        subprocess.Popen(
            [sys.executable, script, str(rank), folder, str(world), *configs],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in range(world)
    ]
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-3000:]


@pytest.mark.slow
def test_a_rank_without_objects(tmp_path):
    configs = [
        ROOT / f'configs/pointins/pointins-{name}_quick_shapes.py'
        for name in ('fcos', 'retinanet')
    ]
    launch(tmp_path, 2, configs)
    launch(tmp_path, 1, configs)
    for name in ('FCOS', 'RetinaNet'):
        alone, full, empty = (
            torch.load(tmp_path / f'{which}_{name}.pt')
            for which in ('1_0', '2_0', '2_1'))
        assert empty['loss'] == 0 < alone['loss']
        # Averaged over the instances of all ranks: gradients of the two
        # processes, averaged in turn, are those of a single one.
        assert full['loss'] == pytest.approx(2 * alone['loss'], rel=1e-4)
        for key, grad in alone['grads'].items():
            assert grad.abs().sum() > 0, key
            torch.testing.assert_close(
                full['grads'][key], grad, rtol=1e-3, atol=1e-6)
            assert torch.equal(full['grads'][key], empty['grads'][key])
