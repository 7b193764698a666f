"""Deformable convolution against loops, compiled operators and gradcheck."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.ops import deform_conv, deform_conv_ext


@st.composite
def cases(draw, modulated):
    """Tensors and keywords of a forward call in double precision."""
    seed = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    groups, deform_groups = draw(
        st.sampled_from([(1, 1), (2, 1), (1, 3), (3, 2)]))
    channels = 6
    kernel = draw(st.sampled_from([(1, 1), (3, 2), (2, 3)]))
    stride = draw(st.sampled_from([(1, 1), (2, 1), (1, 3)]))
    padding = draw(st.sampled_from([(0, 0), (1, 2)]))
    dilation = draw(st.sampled_from([(1, 1), (2, 1)]))
    size = draw(st.sampled_from([(5, 7), (8, 6)]))
    images = draw(st.integers(1, 3))
    out = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) //
           stride[i] + 1 for i in range(2)]
    cells = deform_groups * kernel[0] * kernel[1]

    def random(*shape):
        return torch.randn(shape, generator=seed).double()

    # Zero offsets, the initial state, lie on the cells; large ones outside.
    offset = random(images, 2 * cells, *out) * draw(
        st.sampled_from([0, .7, 6.]))
    if draw(st.booleans()):
        offset = offset.round()
    tensors = dict(
        feature=random(images, channels, *size),
        weight=random(3 * groups, channels // groups, *kernel),
        offset=offset,
        mask=random(images, cells, *out).sigmoid() if modulated else None)
    return deform_conv.Inputs(**tensors), deform_conv.Kernel(
        kernel, stride, padding, dilation, groups, deform_groups)


def keywords(kernel, modulated, step=1):
    """The keywords that mmcv calls the operators with."""
    if modulated:
        names = ('kernel', 'stride', 'pad', 'dilation')
        pairs = [(f'{name}_h', f'{name}_w') for name in names]
    else:
        pairs = [(f'{name}H', f'{name}W')
                 for name in ('k', 'd', 'pad', 'dilation')]
    sizes = {
        key: value
        for names, values in zip(pairs, kernel) for key, value in zip(
            names, values)
    }
    sizes.update(group=kernel.groups, deformable_group=kernel.deform_groups)
    if not modulated:
        sizes['im2col_step'] = step
    return sizes


def output_of(inputs):
    """An output to be overwritten."""
    return torch.full(
        (len(inputs.feature), len(inputs.weight), *inputs.offset.shape[2:]),
        7.).to(inputs.feature)


def run_plain(module, inputs, kernel):
    """Output and gradients of a plain convolution."""
    feature, weight, offset, _ = inputs
    sizes = keywords(kernel, False, len(feature))
    empty, out = feature.new_empty(0), output_of(inputs)
    module.deform_conv_forward(feature, weight, offset, out, empty,
                               feature.new_empty(0), **sizes)
    grad = out.sin()
    grads = [torch.zeros_like(value) for value in (feature, offset, weight)]
    module.deform_conv_backward_input(feature, offset, grad, grads[0],
                                      grads[1], weight, empty, **sizes)
    module.deform_conv_backward_parameters(
        feature, offset, grad, grads[2], empty, feature.new_empty(0),
        scale=.5, **sizes)
    return out, *grads


def run_modulated(module, inputs, kernel, with_bias):
    """Output and gradients of a modulated convolution."""
    feature, weight, offset, mask = inputs
    sizes = keywords(kernel, True)
    bias = torch.linspace(-1, 1, len(weight) if with_bias else 0).to(feature)
    out, empty = output_of(inputs), feature.new_empty(0)
    module.modulated_deform_conv_forward(
        feature, weight, bias, empty, offset, mask, out,
        feature.new_empty(0), with_bias=with_bias, **sizes)
    grads = [
        torch.zeros_like(value)
        for value in (feature, weight, bias, offset, mask)
    ]
    module.modulated_deform_conv_backward(
        feature, weight, bias, empty, offset, mask, feature.new_empty(0),
        *grads, out.sin(), with_bias=with_bias, **sizes)
    return out, *grads


@settings(deadline=None, max_examples=80)
@given(cases(modulated=False))
def test_plain_equals_compiled(compiled, case):
    torch.testing.assert_close(
        run_plain(deform_conv_ext, *case), run_plain(compiled, *case),
        rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=80)
@given(cases(modulated=True), st.booleans())
def test_modulated_equals_compiled(compiled, case, with_bias):
    torch.testing.assert_close(
        run_modulated(deform_conv_ext, *case, with_bias),
        run_modulated(compiled, *case, with_bias),
        rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=20)
@given(cases(modulated=True))
def test_single_precision_equals_compiled(compiled, case):
    inputs = deform_conv.Inputs(*(value.float() for value in case[0]))
    torch.testing.assert_close(
        run_modulated(deform_conv_ext, inputs, case[1], True),
        run_modulated(compiled, inputs, case[1], True),
        rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(cases(modulated=True))
def test_small_batches_change_nothing(case):
    expected = run_modulated(deform_conv_ext, *case, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deform_conv, 'CHUNK', 1)
        got = run_modulated(deform_conv_ext, *case, True)
    torch.testing.assert_close(got, expected)


def loop_conv(inputs, kernel):
    """Modulated deformable convolution, one product at a time."""
    feature, weight, offset, mask = inputs
    out = torch.zeros_like(output_of(inputs))
    per_group = feature.shape[1] // kernel.groups
    per_offset = feature.shape[1] // kernel.deform_groups
    cells = kernel.size[0] * kernel.size[1]
    for b, o, r, s in torch.cartesian_prod(
            *[torch.arange(n) for n in out.shape]).tolist():
        first = o // (len(weight) // kernel.groups) * per_group
        for c in range(per_group):
            for k in range(cells):
                i, j = divmod(k, kernel.size[1])
                row = (first + c) // per_offset * cells + k
                y = r * kernel.stride[0] - kernel.padding[0]
                x = s * kernel.stride[1] - kernel.padding[1]
                y += i * kernel.dilation[0] + float(offset[b, 2 * row, r, s])
                x += j * kernel.dilation[1] + float(
                    offset[b, 2 * row + 1, r, s])
                value = read(feature[b, first + c], y, x)
                if mask is not None:
                    value *= float(mask[b, row, r, s])
                out[b, o, r, s] += value * float(weight[o, c, i, j])
    return out


def read(plane, y, x):
    """Value of an (H, W) plane between cells, 0 beyond them."""
    value = 0.
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                value += share * float(plane[row, column])
    return value


@pytest.mark.parametrize('groups, deform_groups', [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize('modulated', [False, True])
def test_forward_equals_loop(groups, deform_groups, modulated):
    seed = torch.Generator().manual_seed(groups)
    kernel = deform_conv.Kernel((2, 3), (1, 2), (1, 0), (1, 1), groups,
                                deform_groups)
    cells = deform_groups * 6
    inputs = deform_conv.Inputs(
        torch.randn(2, 4, 3, 7, generator=seed).double(),
        torch.randn(2, 4 // groups, 2, 3, generator=seed).double(),
        torch.randn(2, 2 * cells, 4, 3, generator=seed).double(),
        torch.rand(2, cells, 4, 3, generator=seed).double()
        if modulated else None)
    torch.testing.assert_close(
        deform_conv.forward(inputs, kernel), loop_conv(inputs, kernel))


def test_zero_offsets_give_an_ordinary_convolution(torch_ops):
    seed = torch.Generator().manual_seed(6)
    feature = torch.randn(2, 4, 9, 8, generator=seed)
    weight = torch.randn(6, 2, 3, 3, generator=seed)
    got = torch_ops.deform_conv2d(feature,
                                  torch.zeros(2, 18, 5, 4), weight, 2, 1, 1, 2)
    expected = torch.nn.functional.conv2d(feature, weight, None, 2, 1, 1, 2)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_gradcheck_through_mmcv(torch_ops):
    seed = torch.Generator().manual_seed(7)
    tensors = [
        torch.randn(shape, generator=seed).double().requires_grad_()
        for shape in ((1, 4, 2, 3), (1, 12, 2, 3), (1, 6, 2, 3),
                      (2, 2, 3, 1), (2, ))
    ]
    assert torch.autograd.gradcheck(
        lambda *x: torch_ops.modulated_deform_conv2d(
            *x, 1, (1, 0), 1, 2, 2), tensors)
    feature, offset, _, weight, _ = tensors
    assert torch.autograd.gradcheck(
        lambda *x: torch_ops.deform_conv2d(*x, 1, (1, 0), 1, 2, 2),
        [feature, offset, weight])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_single_result(dtype):
    seed = torch.Generator().manual_seed(8)
    inputs = deform_conv.Inputs(
        *(torch.randn(shape, generator=seed).to(dtype)
          for shape in ((2, 4, 5, 6), (3, 4, 3, 3), (2, 18, 3, 4),
                        (2, 9, 3, 4))))
    kernel = deform_conv.Kernel((3, 3), (1, 1), (0, 0), (1, 1), 1, 1)
    half = run_modulated(deform_conv_ext, inputs, kernel, True)
    single = run_modulated(
        deform_conv_ext,
        deform_conv.Inputs(*(value.float() for value in inputs)), kernel,
        True)
    assert half[0].dtype == dtype
    torch.testing.assert_close(half[0], single[0].to(dtype))


def test_wrong_offset_is_named():
    inputs = deform_conv.Inputs(
        torch.zeros(1, 4, 5, 6), torch.zeros(3, 4, 3, 3),
        torch.zeros(1, 18, 3, 5), None)
    kernel = deform_conv.Kernel((3, 3), (1, 1), (0, 0), (1, 1), 1, 1)
    with pytest.raises(ValueError, match=r'`offset`.*\(1, 18, 3, 4\)'):
        run_plain(deform_conv_ext, inputs, kernel)


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device')
def test_gpu_equals_cpu():
    seed = torch.Generator().manual_seed(9)
    inputs = deform_conv.Inputs(
        *(torch.randn(shape, generator=seed)
          for shape in ((2, 4, 5, 6), (3, 4, 3, 3), (2, 18, 3, 4),
                        (2, 9, 3, 4))))
    kernel = deform_conv.Kernel((3, 3), (1, 1), (0, 0), (1, 1), 1, 1)
    on_gpu = deform_conv.Inputs(*(value.cuda() for value in inputs))
    for got, expected in zip(
            run_modulated(deform_conv_ext, on_gpu, kernel, True),
            run_modulated(deform_conv_ext, inputs, kernel, True)):
        torch.testing.assert_close(
            got.cpu(), expected, rtol=1e-3, atol=1e-3)
