"""Intervals from a paired bootstrap over images.

Legend: B resamples, I images.
"""
from typing import NamedTuple, Optional

import numpy as np


def image_weights(num_images: int, num_resamples: int,
                  seed: int = 0) -> np.ndarray:
    """Draw images with replacement.

    Args:
        num_images: I, at least 1.
        num_resamples: B, at least 0.
        seed: Of the draws.

    Returns:
        (1 + B, I) int: first all ones, the images as they are, then how often
        each resample drew each image. Rows sum to I.
    """
    share = np.full(num_images, 1 / num_images)
    draws = np.random.default_rng(seed).multinomial(
        num_images, share, size=num_resamples)
    return np.concatenate([np.ones((1, num_images), int), draws])


class Difference(NamedTuple):
    """A number of two models on the same images.

    Args:
        a: Of the first; None where it is not defined.
        b: Of the second.
        difference: b - a.
        low: Lower end of the interval of the difference.
        high: Upper end.
        share_higher: In which share of the resamples ``b`` was higher; ties
            count half.
    """
    a: Optional[float]
    b: Optional[float]
    difference: Optional[float]
    low: Optional[float]
    high: Optional[float]
    share_higher: Optional[float]

    @property
    def clear(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def paired_difference(a: np.ndarray, b: np.ndarray,
                      confidence: float = 0.95,
                      num_images: Optional[int] = None) -> Difference:
    """Return the difference of two numbers with its percentile interval.

    Args:
        a: (1 + B,) of the first model: the value, then its resamples. NaN
            where a resample has nothing to measure; these are left out.
        b: (1 + B,) of the second, on the same resamples.
        confidence: Share of the resamples within the interval.
        num_images: How many images the numbers rest on, if that is known.

    Returns:
        No ends where they rest on fewer than two images, or fewer than two
        resamples are left.
    """
    if np.isnan(a[0]) or np.isnan(b[0]):
        values = [None if np.isnan(x) else float(x) for x in (a[0], b[0])]
        return Difference(*values, None, None, None, None)
    drawn = (b - a)[1:]
    drawn = drawn[~np.isnan(drawn)]
    ends: list = [None, None, None]
    if len(drawn) > 1 and (num_images is None or num_images > 1):
        tail = 50 * (1 - confidence)
        ends = [float(x) for x in np.percentile(drawn, [tail, 100 - tail])]
        ends.append(float((drawn > 0).mean() + (drawn == 0).mean() / 2))
    return Difference(float(a[0]), float(b[0]), float(b[0] - a[0]), *ends)
