"""The gallery's page: it says what the records say, and can be read."""
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mmseghead.apis.gallery_page import PAGE, render_page, stage_groups
from mmseghead.testing.browser import BROWSER_ENV, Browser, find_browser

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / PAGE).read_text('utf-8')
#: Elements that end by themselves, of HTML and of our SVG.
VOID = {'meta', 'link', 'img', 'br', 'line', 'circle', 'rect', 'path'}
SIZES = [(1280, 900), (390, 844)]


@pytest.fixture(scope='module')
def browser():
    path = find_browser()
    if path is None:
        pytest.skip(f'no Chromium is installed; {BROWSER_ENV} may name one')
    with Browser(path) as opened:
        yield opened


def test_page_is_what_the_records_say():
    page = render_page(ROOT)
    assert page == TEXT, 'run `make gallery ARGS=--pages-only`'


class _Elements(HTMLParser):
    """Notes elements, and that each is closed where it should be."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, self.getpos()


def test_page_stands_alone():
    assert len(TEXT.encode()) < 4e6
    elements = _Elements()
    elements.feed(TEXT)
    assert elements.open == []
    tags = {tag for tag, _ in elements.seen}
    assert not tags & {'script', 'iframe', 'object', 'embed'}
    assert '@import' not in TEXT and 'url(' not in TEXT
    for tag, attributes in elements.seen:
        for name in ('src', 'href', 'srcset', 'data', 'xlink:href'):
            link = attributes.get(name, '')
            if tag == 'a' and link:
                # Run records beside the page, and places on it.
                assert '://' not in link
                if not link.startswith('#'):
                    assert ((ROOT / PAGE).parent / link).is_file(), link
            elif link:
                assert link.startswith('data:'), (tag, link[:80])
        assert not [name for name in attributes if name.startswith('on')]
    anchors = {attributes.get('id') for _, attributes in elements.seen}
    assert {link[1:] for _, attributes in elements.seen
            if (link := attributes.get('href', '')).startswith('#')
            } <= anchors


def test_every_figure_names_its_command():
    figures = re.findall(r'<figure>.*?</figure>', TEXT, re.S)
    assert len(figures) > 6
    for figure in figures:
        caption = re.search(r'<figcaption>.*</figcaption>', figure, re.S)
        for command in re.findall(r'(tools/[\w/]+\.py)', caption[0]):
            assert (ROOT / command).is_file(), command
        assert '<code>' in caption[0], figure[:200]


def test_stages_are_grouped_and_add_up():
    stages = {'backbone': 4., 'rpn_head': 1., 'rpn_head.predict_by_feat': 2.,
              'roi_head.mask_head': 5., 'roi_head.bbox_head': 3.,
              'roi_head.point_head': 16., 'roi_head': 8.,
              'paste': 7., 'rest': .5}
    groups = stage_groups(stages)
    assert sum(groups.values()) == sum(stages.values())
    assert groups == dict(backbone=4., neck=0., heads=4., masks=29.,
                          decoding=2., paste=7., rest=.5)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('size', SIZES, ids=['desktop', 'phone'])
def test_page_in_a_browser(browser, size, scheme):
    browser.open(ROOT / PAGE, size, scheme)
    assert browser.evaluate('innerWidth') == size[0]
    # Nothing was asked for but the page itself.
    fetched = [url for url in browser.requests if not url.startswith('data:')]
    assert fetched == [(ROOT / PAGE).as_uri()]
    width, shown = browser.evaluate(
        '[document.documentElement.scrollWidth, '
        'document.documentElement.clientWidth]')
    assert width <= shown == size[0]
    assert browser.evaluate(
        '[...document.images].filter(i => !i.naturalWidth).length') == 0
    assert browser.evaluate('document.images.length') >= 6


WIDE = '''[...document.querySelectorAll('main *, header *, footer *')]
  .filter(e => !e.closest('.scroll') && !e.closest('svg')
          && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 120))'''


@pytest.mark.parametrize('size', SIZES, ids=['desktop', 'phone'])
def test_nothing_sticks_out(browser, size):
    browser.open(ROOT / PAGE, size)
    assert browser.evaluate(WIDE) == []


OVERLAPS = '''[...document.querySelectorAll('svg.scatter')].flatMap(svg => {
  const labels = [...svg.querySelectorAll('.label')].map(
    e => [e.textContent, e.getBoundingClientRect()]);
  const frame = svg.getBoundingClientRect();
  const bad = [];
  labels.forEach(([name, a], i) => {
    if (a.left < frame.left - 1 || a.right > frame.right + 1)
      bad.push(name + ' sticks out');
    labels.slice(i + 1).forEach(([other, b]) => {
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      // A line is higher than its letters.
      const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
        - 0.3 * a.height;
      if (w > 0 && h > 0) bad.push(name + ' / ' + other);
    });
  });
  return bad;
})'''


@pytest.mark.parametrize('size', SIZES, ids=['desktop', 'phone'])
def test_labels_of_plots_stay_apart(browser, size):
    browser.open(ROOT / PAGE, size)
    assert browser.evaluate(
        'document.querySelectorAll("svg.scatter .label").length') > 10
    assert browser.evaluate(OVERLAPS) == []


# WCAG's contrast of each text with the first opaque ground below it; tinted
# cells are mixed with it.
CONTRAST = '''(() => {
  const parse = text => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith('color(') ? 255 : 1;
    return [...parts.slice(0, 3).map(x => x * scale),
            parts.length > 3 ? parts[3] : 1];
  };
  const ground = element => {
    let layers = [];
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color[3] > 0) layers.push(color);
      if (color[3] === 1) break;
    }
    return layers.reverse().reduce((under, over) => [0, 1, 2].map(
      i => over[i] * over[3] + under[i] * (1 - over[3])), [255, 255, 255]);
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(x => x / 255).map(
      x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(
      n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.tagName === 'STYLE' || e.tagName === 'title') continue;
    const style = getComputedStyle(e);
    const text = parse(e.closest('svg') ? style.fill : style.color);
    const a = light(text), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(
      ratio.toFixed(2) + ' ' + e.outerHTML.slice(0, 90));
  }
  return found;
})()'''


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_can_be_read_in_both_schemes(browser, scheme):
    browser.open(ROOT / PAGE, SIZES[0], scheme)
    dark = browser.evaluate(
        'getComputedStyle(document.body).backgroundColor') == \
        'rgb(17, 22, 27)'
    assert dark == (scheme == 'dark')
    assert browser.evaluate(CONTRAST) == []


def test_wide_tables_keep_their_first_column(browser):
    browser.open(ROOT / PAGE, SIZES[1])
    moved = browser.evaluate('''(() => {
      const box = document.querySelector('#shapes .scroll');
      const cell = box.querySelector('tbody th');
      const before = cell.getBoundingClientRect().left;
      box.scrollLeft = 200;
      return [box.scrollLeft, cell.getBoundingClientRect().left - before];
    })()''')
    assert moved[0] > 100 and abs(moved[1]) < 2
