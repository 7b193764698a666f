"""What a conversion did, and what it lost."""
from dataclasses import dataclass, field
from typing import Dict, List

#: Kinds of loss, and what to say of them.
LOSSES = dict(
    no_pixels='covers no pixel: left out',
    clipped='outside of its image: cut off at the border',
    skipped='not an area: left out',
    bridged='parts or holes joined into one outline by thin bridges',
    changed='not the same mask after the conversion',
    overlaps='pixels of an instance hidden by others',
    hidden='hidden by others altogether: left out',
    crowds='crowd regions: left out',
    scores='scores left out',
    duplicates='twice the same: one left out',
    no_labels='images without instances: taken as background',
    unlabelled='images without a label file: left out',
)


@dataclass
class ConversionReport:
    """Counts of a conversion and a list of what was lost.

    ``instances`` are those written. ``losses`` has the keys of ``LOSSES``, if
    they happened, and names each instance or file. ``ious`` are mask IoUs of
    instances before and after the conversion: of those that the target could
    not hold as they were, 0 for those left out; all others are the same.
    ``image_dir`` is the folder that the file names of a COCO JSON start from.
    """

    images: int = 0
    instances: int = 0
    losses: Dict[str, List[str]] = field(default_factory=dict)
    ious: List[float] = field(default_factory=list)
    image_dir: str = ''

    def lose(self, kind: str, what: str) -> None:
        """Note a loss; ``kind`` is a key of ``LOSSES``."""
        assert kind in LOSSES, f'{kind} is none of {sorted(LOSSES)}'
        self.losses.setdefault(kind, []).append(what)

    def add(self, other: 'ConversionReport') -> None:
        """Add the counts and losses of ``other``."""
        self.images += other.images
        self.instances += other.instances
        self.ious += other.ious
        for kind, names in other.losses.items():
            self.losses.setdefault(kind, []).extend(names)

    @property
    def mean_iou(self) -> float:
        """Mean mask IoU of all instances before and after, 1.0 of none."""
        gone = self.ious.count(0.0)
        same = self.instances - (len(self.ious) - gone)
        total = self.instances + gone
        return (same + sum(self.ious)) / total if total else 1.0

    def summary(self, num_shown: int = 5) -> str:
        """Return lines of text: the counts, then each loss with examples."""
        lines = [f'{self.images} images, {self.instances} instances']
        if self.image_dir:
            lines.append(f'image folder: {self.image_dir}')
        for kind, names in self.losses.items():
            shown = ', '.join(names[:num_shown])
            more = len(names) - num_shown
            rest = f' and {more} more' if more > 0 else ''
            lines.append(f'{len(names)} x {LOSSES[kind]}: {shown}{rest}')
        if not self.losses:
            lines.append('nothing lost')
        if self.ious:
            lines.append(
                f'mask IoU before and after: mean {self.mean_iou:.4f} of all, '
                f'lowest {min(self.ious):.4f}')
        return '\n'.join(lines)
