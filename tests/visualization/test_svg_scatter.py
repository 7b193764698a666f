"""Scatter plots as SVG: nothing overlaps, nothing lies."""
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from mmseghead.visualization.label_places import overlap
from mmseghead.visualization.svg_scatter import (HEIGHT, WIDTH, Dot,
                                                 scatter_svg, text_width)


def dots(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Dot(f'Method {i} <R&D>', cost, value, i % 3 == 0, i % 4 == 1)
        for i, (cost, value) in enumerate(
            zip(10**rng.uniform(0.5, 2.4, count), rng.uniform(20, 45, count)))
    ]


def parsed(*arguments):
    return ElementTree.fromstring(scatter_svg(*arguments))


def labels(tree):
    """Return the boxes of all labels."""
    boxes = []
    for text in tree.iter('text'):
        kind = text.get('class').split()
        if kind[0] == 'label':
            width = text_width(text.text, 'strong' in kind)
            x, y = float(text.get('x')), float(text.get('y'))
            boxes.append(np.array([x - width / 2, y - 8, x + width / 2,
                                   y + 2]))
    return boxes


@pytest.mark.parametrize('seed', range(5))
def test_labels_stay_apart_and_inside(seed):
    boxes = labels(parsed(dots(14, seed), 'ms', 'mask AP'))
    assert len(boxes) == 14
    for i, box in enumerate(boxes):
        assert overlap(box, np.array([0, 0, WIDTH, HEIGHT])) == pytest.approx(
            np.prod(box[2:] - box[:2]))
        for other in boxes[:i]:
            assert overlap(box, other) < 1


def test_dots_keep_their_order():
    some = dots(9)
    tree = parsed(some, 'ms', 'mask AP')
    places = {}
    for shape in tree.iter():
        if (shape.get('class') or '').startswith('dot'):
            label = shape[0].text.split(':')[0]
            side = float(shape.get('width') or 0) / 2
            places[label] = (float(shape.get('cx') or shape.get('x')) + side,
                             float(shape.get('cy') or shape.get('y')) + side)
            assert ('hollow' in shape.get('class')) == next(
                dot.hollow for dot in some if dot.label == label)
    assert sorted(places, key=lambda name: places[name][0]) == [
        dot.label for dot in sorted(some, key=lambda dot: dot.cost)]
    assert sorted(places, key=lambda name: places[name][1]) == [
        dot.label for dot in sorted(some, key=lambda dot: -dot.value)]


def test_hollow_dots_make_no_front():
    best = Dot('best', 1., 50., hollow=True)
    tree = parsed([best, Dot('a', 2., 40.), Dot('b', 3., 30.)], 'ms', 'AP')
    strong = [text.text for text in tree.iter('text')
              if 'strong' in text.get('class')]
    assert strong == ['a']
    assert not list(parsed([best], 'ms', 'AP').iter('path'))


def test_low_values_go_to_the_edge_with_their_number():
    text = scatter_svg([Dot('a', 2., 40.), Dot('b', 3., 30.),
                        Dot('low', 4., 1.3)], 'ms', 'AP')
    assert 'low 1.3 ↓' in text and 'b ↓' not in text
    ticks = [float(x) for x in re.findall(
        r'text-anchor="end">([\d.]+)</text>', text)]
    assert min(ticks) > 20


@pytest.mark.parametrize('wrong', [[], [Dot('a', 0., 1.)]])
def test_bad_dots(wrong):
    with pytest.raises(ValueError, match='costs > 0'):
        scatter_svg(wrong, 'ms', 'AP')


def test_one_dot():
    assert len(labels(parsed([Dot('alone', 5., 0.)], 'ms', 'AP'))) == 1
