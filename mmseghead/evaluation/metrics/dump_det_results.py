"""Predictions dumped to a file, encoded masks among them."""
from typing import Sequence

from mmdet.evaluation.metrics import DumpDetResults as _DumpDetResults

from mmseghead.functional.mask_rle import EncodedMasks
from mmseghead.registry import METRICS


@METRICS.register_module()
class DumpDetResults(_DumpDetResults):
    """mmdet's ``DumpDetResults``, which also takes ``EncodedMasks``.

    The file holds plain RLEs in either case. Arguments are its own.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch.

        Args:
            data_batch: Not used.
            data_samples: Of each image, with ``pred_instances``.
        """
        plain, encoded = [], []
        for sample in data_samples:
            found = dict(sample.get('pred_instances') or {})
            is_encoded = isinstance(found.get('masks'), EncodedMasks)
            encoded.append(found.pop('masks') if is_encoded else None)
            # A copy: other metrics get the sample too.
            plain.append(
                dict(sample, pred_instances=found) if is_encoded else sample)
        before = len(self.results)
        super().process(data_batch, plain)
        for result, masks in zip(self.results[before:], encoded):
            if masks is not None:
                result['pred_instances']['masks'] = list(masks)
