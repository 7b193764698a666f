"""The gallery's page: one file without scripts, made from the records.

Its templates lie in ``docs/gallery/templates``. Every number comes through
:mod:`gallery` and every order through :mod:`gallery_findings`.
"""
import base64
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mmseghead.utils import atomic_write
from mmseghead.visualization.svg_scatter import Dot, scatter_svg
from .compare import METRICS
from .gallery import (COSTS, DATASETS, Measured, find_models, gallery_hardware,
                      measure)
from .gallery_findings import Findings
from .gallery_pictures import (image_file, object_sizes, picture_file, scenes,
                               truth_file)
from .model_index import load_index
from .records import RECORDS, published_metrics, read_record

PAGE = Path('docs', 'gallery', 'index.html')
TEMPLATES = Path('docs', 'gallery', 'templates')
#: Parts of the latency -> what they are, in the order of the bars.
STAGES = {
    'backbone': 'backbone',
    'neck': 'neck',
    'heads': 'heads (of boxes, where masks have their own)',
    'masks': 'mask heads',
    'decoding': 'decoding (NMS, mask assembly)',
    'paste': 'pasting masks',
    'rest': 'rest',
}
_COLUMNS = (*METRICS, 'params', 'GFLOPs', 'latency', 'memory',
            'training memory', 'training time')
#: Shown without decimals.
_WHOLE = ('latency', 'memory', 'training memory')


def render_page(root: Path) -> str:
    """Return the page as the records, metafiles and pictures have it now.

    Raises:
        ValueError: if a record is damaged.
        jinja2.TemplateError: if the text asks for what there is not.
    """
    page, _ = _render(root)
    return page


def wanted_seeds(root: Path) -> List[str]:
    """Return the models whose order matters in the page's text and that were
    trained only once, or not at all."""
    _, findings = _render(root)
    return findings.wanted_seeds()


def write_page(root: Path) -> bool:
    """Write the page; returns whether it changed."""
    page, path = render_page(root), Path(root) / PAGE
    if path.is_file() and path.read_text('utf-8') == page:
        return False
    with atomic_write(path) as file:
        file.write(page)
    return True


def _render(root: Path) -> Tuple[str, Findings]:
    root = Path(root)
    index = load_index(root)
    models = find_models(index)
    measured = measure(index, models)
    findings = Findings(measured)
    environment = Environment(
        loader=FileSystemLoader(root / TEMPLATES), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True)
    environment.filters.update(
        number=number, joined=joined, ordinal=ordinal)
    environment.globals.update(_Words(root, findings).functions())
    page = environment.get_template('page.html').render(
        css=Markup((root / TEMPLATES / 'style.css').read_text('utf-8')),
        sections=[_section(root, dataset, measured) for dataset in DATASETS],
        methods=list({model.stem: model for model in models}.values()),
        trainings=sum(len(item.trainings) for item in measured),
        schedule=_schedule(measured),
        hardware=gallery_hardware(models), stages=STAGES,
        machines=_machines(measured), sizes=object_sizes(root), f=findings)
    return page, findings


def number(value: Optional[float], digits: int = 1) -> str:
    """Return a number for readers; a dash if it is unknown."""
    return '–' if value is None else f'{value:,.{digits}f}'


def joined(items: Sequence[str], last: str = 'and') -> str:
    """Return ``'a, b and c'``."""
    items = list(items)
    if len(items) < 2:
        return ''.join(items)
    return f'{", ".join(items[:-1])} {last} {items[-1]}'


def ordinal(place: int) -> str:
    """Return ``'1st'``, ``'2nd'``, ``'11th'``."""
    suffix = {1: 'st', 2: 'nd', 3: 'rd'}.get(place % 10, 'th')
    return f'{place}{"th" if place % 100 in (11, 12, 13) else suffix}'


class _Words:
    """Functions of the templates."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self._root, self._findings = root, findings

    def functions(self) -> Dict[str, Any]:
        return dict(names=self.names, each=self.each, both=self.both,
                    record=self.record, once=self.once)

    def names(self, stems: Sequence[str]) -> str:
        """Labels of methods, as part of a sentence."""
        return joined([self._findings.label(stem) for stem in stems])

    def both(self, stem: str, metric: str, dataset: str) -> str:
        """The number of each training, such as ``'42.1 / 41.8'``."""
        values = self._findings.values(stem, metric, dataset)
        digits = 0 if metric in _WHOLE else 1
        return ' / '.join(number(value, digits) for value in values) or '–'

    def each(self, stems: Sequence[str], metric: str, dataset: str) -> str:
        """Methods with their numbers, for a sentence."""
        return joined([
            f'{self._findings.label(stem)} {self.both(stem, metric, dataset)}'
            for stem in stems
        ])

    def once(self, dataset: str, *stems: str) -> List[str]:
        return self._findings.trained_once(dataset, *stems)

    def record(self, name: str) -> Optional[Dict[str, float]]:
        """Metrics of any record by its file's stem; None without it."""
        path = self._root / RECORDS / f'{name}.json'
        if not path.is_file():
            return None
        return published_metrics(read_record(path, 'train'))


def _section(root: Path, dataset: str,
             measured: Sequence[Measured]) -> Dict[str, Any]:
    """Return what the page shows of a data set."""
    here = _sorted([item for item in measured
                    if item.model.dataset == dataset])
    shown = [item for item in here if item.trainings]
    columns = [name for name in _COLUMNS
               if any(item.value(name) is not None for item in shown)]
    return dict(
        name=dataset,
        rows=[_row(item, shown, columns) for item in shown],
        columns=columns,
        absent=[item.model.label for item in here if not item.trainings],
        classes=_class_table(shown),
        plots=_plots(shown),
        bars=_bars(shown),
        seeds=_seed_rows(shown),
        spread=_spread(shown),
        scenes=_scenes(root, dataset, here),
        any_old=any(not item.current for item in shown),
        any_boxes=any(not item.model.masks for item in shown),
        images=_image_counts(shown))


def _schedule(items: Sequence[Measured]) -> Dict[str, int]:
    """Return iterations, batch size and images seen of the present recipe."""
    for item in items:
        if item.current:
            return item.trainings[0].record['schedule']
    return {}


def _sorted(items: Sequence[Measured]) -> List[Measured]:
    """Return the best first; boxes alone and older recipes behind."""
    def key(item: Measured) -> Any:
        return (not item.current, not item.model.masks,
                -(item.value(item.model.metric) or 0), item.model.label)
    return sorted(items, key=key)


def _row(item: Measured, all_items: Sequence[Measured],
         columns: Sequence[str]) -> Dict[str, Any]:
    cells = []
    for name in columns:
        known = [other.value(name) for other in all_items
                 if other.current and other.value(name) is not None]
        best = (min if name in COSTS else max)(known, default=None)
        value = item.value(name)
        digits = 0 if name in _WHOLE else 1
        cells.append(dict(
            text=number(value, digits),
            best=value is not None and item.current and
            number(value, digits) == number(best, digits)))
    return dict(label=item.model.label, current=item.current, cells=cells,
                masks=item.model.masks, record=item.trainings[0].file,
                changed=item.trainings[0].changed)


def _class_table(items: Sequence[Measured]) -> Optional[Dict[str, Any]]:
    items = [item for item in items if item.classes]
    if not items:
        return None
    names = list(items[0].classes)
    means = [sum(item.classes[name] for item in items) / len(items)
             for name in names]
    # The easiest class first.
    order = sorted(range(len(names)), key=lambda i: -means[i])
    top = max(max(item.classes.values()) for item in items)
    rows = [
        dict(label=item.model.label, current=item.current, cells=[
            dict(text=number(item.classes[names[i]]),
                 shade=round(item.classes[names[i]] / top, 3))
            for i in order
        ]) for item in items
    ]
    return dict(names=[names[i] for i in order], rows=rows)


def _plots(items: Sequence[Measured]) -> List[Dict[str, Any]]:
    plots = []
    for cost, title in (('latency', 'latency (ms / image)'),
                        ('GFLOPs', 'GFLOPs'), ('params', 'parameters (M)')):
        dots = [
            Dot(item.model.label, item.value(cost), item.value('mask AP'),
                item.model.two_stage, not item.current) for item in items
            if item.model.masks and item.value(cost)
        ]
        if dots:
            plots.append(dict(cost=cost, svg=Markup(
                scatter_svg(dots, title, 'mask AP'))))
    return plots


def stage_groups(stages: Mapping[str, float]) -> Dict[str, float]:
    """Return the milliseconds of each of ``STAGES``.

    Args:
        stages: Milliseconds of each stage, as ``benchmark`` names them.
    """
    groups = dict.fromkeys(STAGES, 0.0)
    for name, value in stages.items():
        # What a RoI head does beside its parts is to choose PointRend's
        # points, or next to nothing.
        of_masks = 'mask' in name or name in ('roi_head',
                                              'roi_head.point_head')
        group = 'masks' if of_masks else 'heads'
        if name in STAGES:
            group = name
        if name.endswith('.predict_by_feat'):
            group = 'decoding'
        groups[group] += value
    return groups


def _bars(items: Sequence[Measured]) -> List[Dict[str, Any]]:
    items = [item for item in items if item.latency]
    items = sorted(items, key=lambda item: item.latency['value'])
    longest = max((item.latency['value'] for item in items), default=1)
    bars = []
    for item in items:
        groups = stage_groups(item.latency.get('stages') or {})
        total = sum(groups.values())
        bars.append(dict(
            label=item.model.label, value=number(item.latency['value'], 0),
            width=round(100 * item.latency['value'] / longest, 2),
            parts=[
                dict(name=name, text=f'{title}: {number(groups[name])} ms',
                     share=round(100 * groups[name] / total, 2))
                for name, title in STAGES.items() if groups[name] > 0
            ]))
    return bars


def _seed_rows(items: Sequence[Measured]) -> List[Dict[str, Any]]:
    """Return the models that were trained more than once."""
    rows = []
    for item in items:
        runs = [run for run in item.trainings if not run.changed]
        if len(runs) > 1:
            rows.append(dict(
                label=item.model.label,
                seeds=', '.join(str(run.seed) for run in runs),
                cells=[' / '.join(number(value) for value in
                                  item.values(name)) or '–'
                       for name in METRICS]))
    return rows


def _spread(items: Sequence[Measured]) -> List[str]:
    findings = Findings(items)
    datasets = {item.model.dataset for item in items}
    return [number(max((findings.spread(name, dataset)
                        for dataset in datasets), default=None))
            for name in METRICS]


def _scenes(root: Path, dataset: str,
            items: Sequence[Measured]) -> List[Dict[str, Any]]:
    """Return the images with the pictures of all methods."""
    found = []
    for scene in scenes(root)[dataset]:
        tiles = [
            ('image', image_file(root, dataset, scene), 'given'),
            ('ground truth', truth_file(root, dataset, scene), 'given'),
            *((item.model.label, picture_file(root, item.model, scene),
               'found' if item.current else 'old') for item in items)
        ]
        found.append(dict(
            stem=scene.stem, objects=scene.objects, tiles=[
                dict(label=label, uri=_data_uri(path), kind=kind)
                for label, path, kind in tiles if path.is_file()
            ]))
    return found


def _data_uri(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    return f'data:image/webp;base64,{encoded}'


def _image_counts(items: Sequence[Measured]) -> Dict[str, int]:
    """Return how many images were trained and validated on."""
    for item in items:
        data = item.trainings[0].record.get('data') or {}
        if 'train' in data and 'val' in data:
            return {name: data[name]['images'] for name in ('train', 'val')}
    return {}


def _machines(items: Sequence[Measured]) -> List[str]:
    """Return what the trainings ran on, each machine once."""
    machines = []
    for item in items:
        for run in item.trainings:
            hardware = run.record['hardware']
            name = ', '.join(hardware.get('gpus') or []) or (
                f'{hardware["cores"]} '
                f'core{"s" * (hardware["cores"] > 1)} of {hardware["cpu"]}')
            machines.append(name)
    return sorted(set(machines))
