"""Between contours and rays."""
from typing import Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from mmseghead.functional import polar
from mmseghead.registry import TASK_UTILS


@TASK_UTILS.register_module()
class PolarCoder:
    """Encodes contours as rays from a point, and decodes them.

    M locations, n rays; positions are pixel indices, angles as in
    ``mmseghead.functional.polar``.

    Args:
        num_rays: n, a divisor of 360, at least 3.
        window: Degrees to both sides of a ray in which a contour pixel counts
            as being on it.
        wrap: Whether the window of ray 0 includes 359 degrees. Not so in the
            reference.
        exact_rays: Cross the rays with the contour's line segments instead of
            looking for pixels within the window, so that no ray of a small
            object is empty. Not in the paper.

    Raises:
        ValueError: if ``num_rays`` or ``window`` are not as stated.
    """

    eps = polar.EMPTY_RAY  #: Length of a ray that meets no contour.

    def __init__(self,
                 num_rays: int = 36,
                 window: int = 3,
                 wrap: bool = False,
                 exact_rays: bool = False) -> None:
        if not isinstance(num_rays, int) or num_rays < 3 or 360 % num_rays:
            raise ValueError('`num_rays` of PolarCoder must be a divisor of '
                             f'360 and at least 3, got {num_rays!r}.')
        if not isinstance(window, int) or window < 0:
            raise ValueError('`window` of PolarCoder must be an int >= 0, '
                             f'got {window!r}.')
        self.num_rays = num_rays
        self.window = window
        self.wrap = wrap
        self.exact_rays = exact_rays

    def encode(self,
               points: Tensor,
               contours: Union[polar.Contours, Sequence[Tensor]],
               gt_inds: Tensor,
               clamp: bool = True) -> Tensor:
        """Measure the rays from locations to contours.

        Args:
            points: (M, 2) x, y, pixels.
            contours: Joined, or a list of (L, 2).
            gt_inds: (M,) int64, the contour of each location.
            clamp: Make rays at least ``eps``. Without, as in the reference, a
                location on the contour may have a ray of length 0.

        Returns:
            (M, n) float32 lengths in pixels; (0, n) when M is 0.
        """
        if len(points) == 0:
            return points.new_zeros(
                (0, self.num_rays), dtype=torch.float32)
        if not isinstance(contours, polar.Contours):
            contours = polar.join_contours(contours)
        if self.exact_rays:
            return polar.exact_rays(points, contours, gt_inds, self.num_rays)
        rays = polar.bucket_rays(points, contours, gt_inds, self.num_rays,
                                 self.window, self.wrap)
        return rays.clamp(min=self.eps) if clamp else rays

    def decode(self,
               points: Tensor,
               rays: Tensor,
               max_shape: Optional[Tuple[int, int]] = None) -> Tensor:
        """Return the (M, 2, n) end points of (M, n) rays, x in row 0.

        Args:
            points: (M, 2) x, y, pixels.
            rays: (M, n) lengths in pixels.
            max_shape: (height, width) of the image to clamp to; None does
                not clamp.
        """
        return polar.rays_to_points(points, rays, max_shape)

    def rays_to_bbox(self,
                     points: Tensor,
                     rays: Tensor,
                     max_shape: Optional[Tuple[int, int]] = None) -> Tensor:
        """Return the (M, 4) smallest boxes around the end points of rays."""
        low, high = self.decode(points, rays, max_shape).aminmax(dim=2)
        return torch.cat((low, high), 1)
