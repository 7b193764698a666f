"""Every method in two processes, one of which sees no objects."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A variant of another quick config shares its parts.
CONFIGS = [
    path for path in sorted(ROOT.glob('configs/*/*_quick_shapes.py'))
    if "_base_ = './" not in path.read_text()
]
PROGRAM = '''
import sys
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
MMLogger.get_instance('quiet', log_level='ERROR')
distributed.init_process_group(
    'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
register_all_modules(init_default_scope=False)


class Loss(torch.nn.Module):

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, data):
        return self.model.parse_losses(self.model(**data, mode='loss'))[0]


for name in sys.argv[3:]:
    print(name, flush=True)
    cfg = without_pretrained(Config.fromfile(name))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    wrapped = DistributedDataParallel(Loss(model))
    for counts in ([(3, 2), (0, 0)], [(0, 0), (0, 0)], [(0, 0), (1, 4)]):
        # A step fails if a parameter got no gradient in the one before.
        model.zero_grad()
        data = model.data_preprocessor(
            fake_batch([(64, 96)] * 2, counts[rank], 6), True)
        loss = wrapped(data)
        loss.backward()
        sums = torch.stack([p.grad.double().abs().sum()
                            for p in model.parameters() if p.requires_grad])
        assert loss.isfinite() and sums.isfinite().all()
        other = sums.clone()
        distributed.broadcast(other, 0)
        names = [n for n, p in model.named_parameters() if p.requires_grad]
        differ = [n for n, a, b in zip(names, sums, other) if a != b]
        assert not differ, differ
'''


@pytest.mark.slow
def test_a_rank_without_objects(tmp_path):
    script = tmp_path / 'program.py'
    script.write_text(PROGRAM)
    running = [
        subprocess.Popen(
            [sys.executable, script, str(rank), tmp_path, *CONFIGS],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=500)[0] for process in running]
        failed = [
            output[-3000:] for output, process in zip(outputs, running)
            if process.returncode
        ]
        assert not failed, '\n'.join(failed)
    finally:  # the other one waits for ever
        for process in running:
            process.kill()
