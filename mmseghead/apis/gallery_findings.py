"""What may be said of the gallery's methods: orders that the records hold.

The text of the gallery's page asks here for every number and every order, so
that no sentence outlives the measurements it was written for.
"""
from collections import defaultdict
from typing import (Dict, Iterable, List, NamedTuple, Optional, Sequence, Set,
                    Tuple)

from .compare import METRICS
from .gallery import COSTS, DATASETS, Measured

#: Costs closer than this are called equal: machines have other work.
_SAME_COST = 0.1

#: Numbers of which a summary names one: kind, by data set where it matters.
_KINDS = {
    'boundary AP': 'outlines of {}',
    'box AP': 'boxes of {}',
    'latency': 'time',
    'params': 'size',
    'GFLOPs': 'size',
}


class Place(NamedTuple):
    """A method's place in a metric or cost."""

    metric: str
    dataset: str
    place: int  #: from 1
    of: int  #: methods
    value: float


class Findings:
    """Numbers and orders for sentences.

    Only trainings of the present recipe count. Which pairs of methods were
    set against each other is kept, since each of them wants a second seed.

    Args:
        measured: What there is.

    Attributes:
        compared: Names of the models whose order a sentence rests on, or
            would if they were measured.
    """

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._by_key: Dict[Tuple[str, str], Measured] = {
            (item.model.stem, item.model.dataset): item for item in measured
        }
        self.compared: Set[str] = set()

    def model(self, stem: str, dataset: str) -> Measured:
        """Return a method's measurements.

        Raises:
            KeyError: if the gallery has no such model; says which it has.
        """
        if (stem, dataset) not in self._by_key:
            known = ', '.join(dict.fromkeys(key[0] for key in self._by_key))
            raise KeyError(
                f'The gallery has no {stem!r} on {dataset!r}; methods: '
                f'{known}; data sets: {", ".join(DATASETS)}.')
        return self._by_key[stem, dataset]

    def label(self, stem: str) -> str:
        """Return a method's name for readers."""
        return next(item.model.label for key, item in self._by_key.items()
                    if key[0] == stem)

    def has(self, dataset: str, *stems: str) -> bool:
        """Return whether all these were trained with the present recipe."""
        return all(self.model(stem, dataset).current for stem in stems)

    def value(self, stem: str, metric: str, dataset: str) -> Optional[float]:
        """Return the number of the published training, None if unknown or
        measured with another recipe."""
        item = self.model(stem, dataset)
        return item.value(metric) if item.current else None

    def values(self, stem: str, metric: str, dataset: str) -> List[float]:
        """Return the number of each training, the published one first."""
        return self.model(stem, dataset).values(metric)

    def spread(self, metric: str, dataset: str) -> float:
        """Return how far two trainings of one method differ at most.

        0 where nothing was trained twice.
        """
        ranges = [0.0]
        for (_, of), item in self._by_key.items():
            values = item.values(metric) if of == dataset else []
            if len(values) > 1:
                ranges.append(max(values) - min(values))
        return max(ranges)

    def above(self, stem: str, other: str, metric: str,
              dataset: str) -> bool:
        """Return whether one method is better than another in a metric.

        It is where each of its trainings is better than each of the other's,
        by more than half of what two trainings of any method differ or, if
        one of them was trained only once, by more than all of it. Costs must
        be lower by a tenth. False if a number is missing.
        """
        ours = self.values(stem, metric, dataset)
        theirs = self.values(other, metric, dataset)
        if metric in COSTS:
            return bool(ours and theirs) and (
                max(ours) < (1 - _SAME_COST) * min(theirs))
        for name in (stem, other):
            self.compared.add(self.model(name, dataset).model.name)
        if not ours or not theirs:
            return False
        once = min(len(ours), len(theirs)) < 2
        margin = self.spread(metric, dataset) * (1.0 if once else 0.5)
        return min(ours) > max(theirs) + margin

    def ranking(self, metric: str, dataset: str,
                among: Sequence[str] = ()) -> List[str]:
        """Return the methods that have a number, the best first.

        Args:
            metric: One of ``METRICS`` or ``COSTS``, or ``'<class> AP'``.
            dataset: The data set.
            among: Only these methods; all if empty.
        """
        known = {
            stem: self.value(stem, metric, dataset)
            for stem, of in self._by_key
            if of == dataset and stem in (among or [stem])
        }
        known = {stem: value for stem, value in known.items()
                 if value is not None}
        sign = 1 if metric in COSTS else -1
        return sorted(known, key=lambda stem: (sign * known[stem], stem))

    def leaders(self, metric: str, dataset: str,
                among: Sequence[str] = ()) -> List[str]:
        """Return the best method and those that cannot be told from it.

        Empty if nothing was measured. Arguments as of :meth:`ranking`.
        """
        ranking = self.ranking(metric, dataset, among)
        leaders = []
        for stem in ranking:
            if self.above(ranking[0], stem, metric, dataset):
                break
            leaders.append(stem)
        return leaders

    def frugal(self, cost: str, metric: str, dataset: str,
               share: float = 0.0) -> List[str]:
        """Return methods by cost, the lowest first, that are good enough.

        Args:
            cost: One of ``COSTS``.
            metric: What they must be good in.
            dataset: The data set.
            share: Of the best method's number that they must reach, 0 to 1.
        """
        ranking = self.ranking(metric, dataset)
        if not ranking:
            return []
        best = self.value(ranking[0], metric, dataset)
        enough = [stem for stem in ranking
                  if self.value(stem, metric, dataset) >= share * best]
        return self.ranking(cost, dataset, enough)

    def contenders(self, metric: str, dataset: str) -> List[str]:
        """Return the leaders and the best one below them.

        It is their trainings that the leaders' being ahead rests on.
        """
        leaders = self.leaders(metric, dataset)
        return self.ranking(metric, dataset)[:len(leaders) + 1]

    def trained_once(self, dataset: str, *stems: str) -> List[str]:
        """Return which of these methods were trained but once."""
        return [
            stem for stem in stems
            if len(self.values(stem, self.model(stem, dataset).model.metric,
                               dataset)) < 2
        ]

    def wanted_seeds(self) -> List[str]:
        """Return the compared models that have but one seed or none."""
        return sorted(
            item.model.name for item in self._by_key.values()
            if item.model.name in self.compared
            and len(item.values(item.model.metric)) < 2)

    def places(self, stem: str, dataset: str) -> Dict[str, Tuple[int, int]]:
        """Return a method's place in each metric and cost.

        Returns:
            Metric -> (place from 1, number of methods).
        """
        places = {}
        for metric in (*METRICS, *COSTS):
            ranking = self.ranking(metric, dataset)
            if stem not in ranking:
                continue
            # Equal in print is equal.
            values = [round(self.value(other, metric, dataset), 1)
                      for other in ranking]
            place = values.index(values[ranking.index(stem)]) + 1
            places[metric] = place, len(ranking)
        return places

    def extremes(self, stem: str) -> Tuple[List[Place], List[Place]]:
        """Return where a method is among the first, and among the last.

        Returns:
            Places in the first and in the last quarter (at least one method
            wide), the most extreme first; of numbers that say nearly the
            same (see ``_KINDS``) only one. None where it was trained with
            another recipe.
        """
        good: List[Place] = []
        bad: List[Place] = []
        for dataset in DATASETS:
            if not ((stem, dataset) in self._by_key
                    and self.has(dataset, stem)):
                continue
            for metric, (place, of) in self.places(stem, dataset).items():
                if metric not in _KINDS or of < 4:
                    continue
                value = self.value(stem, metric, dataset)
                found = Place(metric, dataset, place, of, value)
                quarter = max(of // 4, 1)
                if place <= quarter:
                    good.append(found)
                elif place > of - quarter:
                    bad.append(found)
        good.sort(key=lambda item: item.place / item.of)
        bad.sort(key=lambda item: -item.place / item.of)
        return _one_a_kind(good), _one_a_kind(bad)

    def all_classes(self, dataset: str) -> bool:
        """Return whether the AP of classes is known of all methods with
        masks: before, a best one would only be the best of some."""
        known = [
            bool(item.classes) for (_, of), item in self._by_key.items()
            if of == dataset and item.current
            and item.value('mask AP') is not None
        ]
        return len(known) > 1 and all(known)

    def lowest_classes(self, stem: str, dataset: str,
                       count: int) -> List[str]:
        """Return the classes with a method's lowest mask AP."""
        classes = self.model(stem, dataset).classes or {}
        return sorted(classes, key=lambda name: classes[name])[:count]

    def class_bias(self, stem: str, dataset: str) -> List[Tuple[str, float]]:
        """Return the classes, those first that a method is best at.

        Returns:
            (class, points above what its mean over classes and the class's
            difficulty for all methods let expect), so that neither weak
            methods nor hard classes count; empty until the classes of all
            methods with masks are known.
        """
        table = {
            key[0]: item.classes for key, item in self._by_key.items()
            if key[1] == dataset and item.current and item.classes
        }
        if stem not in table or not self.all_classes(dataset):
            return []
        means: Dict[str, List[float]] = defaultdict(list)
        for values in table.values():
            for name, value in values.items():
                means[name].append(value)
        by_class = {name: sum(all_) / len(all_)
                    for name, all_ in means.items()}
        level = sum(by_class.values()) / len(by_class)
        own = table[stem]
        own_mean = sum(own.values()) / len(own)
        bias = [(name, own[name] - own_mean * by_class[name] / level)
                for name in own] if level else []
        return sorted(bias, key=lambda item: -item[1])


def _one_a_kind(places: Sequence[Place]) -> List[Place]:
    kept: Dict[str, Place] = {}
    for place in places:
        kept.setdefault(_KINDS[place.metric].format(place.dataset), place)
    return list(kept.values())
