"""Deformable convolution with the signatures of mmcv's compiled operators.

The buffers ``columns`` and ``ones`` and the batching by ``im2col_step`` are
part of the signature only: memory is bounded without them.
"""
from torch import Tensor

from .deform_conv import (Inputs, Kernel, backward_inputs, backward_weight,
                          forward)


def _plain_kernel(*, kW: int, kH: int, dW: int, dH: int, padW: int, padH: int,
                  dilationW: int, dilationH: int, group: int,
                  deformable_group: int, im2col_step: int) -> Kernel:
    """Gather the sizes that the plain operators are called with."""
    return Kernel((kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW),
                  group, deformable_group)


def _modulated_kernel(*, kernel_h: int, kernel_w: int, stride_h: int,
                      stride_w: int, pad_h: int, pad_w: int, dilation_h: int,
                      dilation_w: int, group: int,
                      deformable_group: int) -> Kernel:
    """Gather the sizes that the modulated operators are called with."""
    return Kernel((kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w),
                  (dilation_h, dilation_w), group, deformable_group)


def _check(inputs: Inputs, kernel: Kernel) -> None:
    """Refuse sizes that do not belong together.

    Raises:
        ValueError: naming the tensor and what its shape should be.
    """
    images, channels, *size = inputs.feature.shape
    out = [(size[i] + 2 * kernel.padding[i] - kernel.dilation[i] *
            (kernel.size[i] - 1) - 1) // kernel.stride[i] + 1
           for i in range(2)]
    cells = kernel.deform_groups * kernel.size[0] * kernel.size[1]
    expected = dict(
        weight=(inputs.weight.shape[0], channels // kernel.groups,
                *kernel.size),
        offset=(images, 2 * cells, *out))
    if inputs.mask is not None:
        expected['mask'] = images, cells, *out
    for name, shape in expected.items():
        got = tuple(getattr(inputs, name).shape)
        if got != shape:
            raise ValueError(
                f'`{name}` of a deformable convolution must be of shape '
                f'{shape} for an input of {tuple(inputs.feature.shape)} and '
                f'{kernel}, got {got}.')


def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor,
                        output: Tensor, columns: Tensor, ones: Tensor,
                        **sizes: int) -> None:
    """Write the convolution into ``output``.

    Args:
        input: (B, C, H, W).
        weight: (O, C / G, kernel height, kernel width).
        offset: (B, 2 * D * K, out_h, out_w), cells, row before column.
        output: (B, O, out_h, out_w), overwritten.
        columns: unused.
        ones: unused.
        **sizes: forwarded to `_plain_kernel`.
    """
    inputs, kernel = Inputs(input, weight, offset, None), _plain_kernel(
        **sizes)
    _check(inputs, kernel)
    output.copy_(forward(inputs, kernel))


def deform_conv_backward_input(input: Tensor, offset: Tensor,
                               gradOutput: Tensor, gradInput: Tensor,
                               gradOffset: Tensor, weight: Tensor,
                               columns: Tensor, **sizes: int) -> None:
    """Write the gradient by the offsets and add that by the input.

    Args:
        input: (B, C, H, W).
        offset: (B, 2 * D * K, out_h, out_w).
        gradOutput: (B, O, out_h, out_w).
        gradInput: (B, C, H, W), added to.
        gradOffset: like ``offset``, overwritten.
        weight: (O, C / G, kernel height, kernel width).
        columns: unused.
        **sizes: forwarded to `_plain_kernel`.
    """
    inputs, kernel = Inputs(input, weight, offset, None), _plain_kernel(
        **sizes)
    grads = backward_inputs(gradOutput, inputs, kernel)
    gradInput += grads.feature.to(gradInput)
    gradOffset.copy_(grads.offset)


def deform_conv_backward_parameters(input: Tensor, offset: Tensor,
                                    gradOutput: Tensor, gradWeight: Tensor,
                                    columns: Tensor, ones: Tensor, *,
                                    scale: float, **sizes: int) -> None:
    """Add the scaled gradient by the weights to ``gradWeight``.

    Args:
        input: (B, C, H, W).
        offset: (B, 2 * D * K, out_h, out_w).
        gradOutput: (B, O, out_h, out_w).
        gradWeight: (O, C / G, kernel height, kernel width), added to.
        columns: unused.
        ones: unused.
        scale: factor of the gradient.
        **sizes: forwarded to `_plain_kernel`.
    """
    # Only the shape of the weights matters to their gradient.
    inputs = Inputs(input, gradWeight, offset, None)
    grad = backward_weight(gradOutput, inputs, _plain_kernel(**sizes))
    gradWeight += (grad * scale).to(gradWeight)


def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor,
                                  ones: Tensor, offset: Tensor, mask: Tensor,
                                  output: Tensor, columns: Tensor, *,
                                  with_bias: bool, **sizes: int) -> None:
    """Write the modulated convolution into ``output``.

    Args:
        input: (B, C, H, W).
        weight: (O, C / G, kernel height, kernel width).
        bias: (O,), or (0,) for none.
        ones: unused.
        offset: (B, 2 * D * K, out_h, out_w), cells, row before column.
        mask: (B, D * K, out_h, out_w), factors of the samples.
        output: (B, O, out_h, out_w), overwritten.
        columns: unused.
        with_bias: whether to add the bias.
        **sizes: forwarded to `_modulated_kernel`.
    """
    inputs = Inputs(input, weight, offset, mask)
    kernel = _modulated_kernel(**sizes)
    _check(inputs, kernel)
    result = forward(inputs, kernel)
    if with_bias:
        result += bias.to(result)[:, None, None]
    output.copy_(result)


def modulated_deform_conv_backward(
        input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor,
        offset: Tensor, mask: Tensor, columns: Tensor, grad_input: Tensor,
        grad_weight: Tensor, grad_bias: Tensor, grad_offset: Tensor,
        grad_mask: Tensor, grad_output: Tensor, *, with_bias: bool,
        **sizes: int) -> None:
    """Write or add all gradients of the modulated convolution.

    Args:
        input: (B, C, H, W).
        weight: (O, C / G, kernel height, kernel width).
        bias: (O,), or (0,) for none.
        ones: unused.
        offset: (B, 2 * D * K, out_h, out_w).
        mask: (B, D * K, out_h, out_w).
        columns: unused.
        grad_input: (B, C, H, W), added to.
        grad_weight: like ``weight``, added to.
        grad_bias: like ``bias``, added to.
        grad_offset: like ``offset``, overwritten.
        grad_mask: like ``mask``, overwritten.
        grad_output: (B, O, out_h, out_w).
        with_bias: whether there is a bias.
        **sizes: forwarded to `_modulated_kernel`.
    """
    inputs = Inputs(input, weight, offset, mask)
    kernel = _modulated_kernel(**sizes)
    grads = backward_inputs(grad_output, inputs, kernel)
    grad_input += grads.feature.to(grad_input)
    grad_offset.copy_(grads.offset)
    grad_mask.copy_(grads.mask)
    weights = backward_weight(grad_output, inputs, kernel)
    grad_weight += weights.to(grad_weight)
    if with_bias:
        total = grad_output.to(weights.dtype).sum((0, 2, 3))
        grad_bias += total.to(grad_bias)
