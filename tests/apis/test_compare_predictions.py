"""Two models compared from files to files."""
import json
import random
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mmseghead.apis.compare_predictions import compare_predictions
from mmseghead.apis.comparison_pictures import draw_row, write_comparison
from mmseghead.apis.comparison_report import to_json, to_markdown, to_text
from mmseghead.evaluation.evaluated_model import Settings
from mmseghead.testing.coco_scene import SHAPE, random_coco

FEW = Settings(resamples=40)


@pytest.fixture(scope='module')
def scene():
    """Annotations and the results of a better and a worse model."""
    annotations, worse = random_coco(12, num_images=7)
    better = [dict(image_id=a['image_id'], category_id=a['category_id'],
                   segmentation=a['segmentation'],
                   score=1 / (1 + a['id'])) for a in
              annotations['annotations']]
    return annotations, worse, better


def write(folder, *contents, names=('truth', 'worse', 'better')):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{name}.json' for name in names]
    for path, content in zip(paths, contents):
        path.write_text(json.dumps(content))
    return paths


@pytest.fixture(scope='module')
def paths(scene, tmp_path_factory):
    return write(tmp_path_factory.mktemp('scene'), *scene)


@pytest.fixture(scope='module')
def comparison(paths):
    return compare_predictions(*paths, settings=FEW)


def numbers(comparison):
    data = json.loads(to_json(comparison))
    for part in (data['annotations'], *data['predictions'].values()):
        del part['file'], part['sha256']
    del data['notes']
    return data


def test_the_better_model_is_better(comparison):
    assert comparison.names == ('worse', 'better')
    ap = comparison.overall['mask AP']
    assert ap.b > ap.a and ap.clear and ap.share_higher == 1
    assert ap.low <= ap.difference <= ap.high
    assert comparison.classes['nine'] == (None, ) * 6
    assert comparison.bands['whole mask'].b == 1
    assert comparison.error_counts[1]['missed'] == 0
    assert all(row.b.quality == 1 for row in comparison.images)
    differences = [abs(row.difference) for row in comparison.images]
    assert differences == sorted(differences, reverse=True)
    assert differences[0] > 0 and len(differences) == 7


def test_order_in_the_files_does_not_matter(scene, comparison, tmp_path):
    shuffled = json.loads(json.dumps(scene))
    for items in (*shuffled[0].values(), *shuffled[1:]):
        random.Random(3).shuffle(items)
    again = compare_predictions(*write(tmp_path, *shuffled), settings=FEW)
    assert numbers(again) == numbers(comparison)


def test_swapping_the_models_swaps_the_signs(paths, comparison):
    back = compare_predictions(paths[0], paths[2], paths[1], settings=FEW)
    for part in ('overall', 'classes', 'bands', 'errors'):
        for key, one in getattr(comparison, part).items():
            other = getattr(back, part)[key]
            if one.difference is None:
                assert other.difference is None
                continue
            assert (other.a, other.b) == (one.b, one.a)
            assert other.low == pytest.approx(-one.high)
            assert other.high == pytest.approx(-one.low)


def test_a_model_does_not_differ_from_itself(paths):
    same = compare_predictions(paths[0], paths[1], paths[1], settings=FEW,
                               names=('one', 'two'))
    for part in ('overall', 'classes', 'bands', 'errors'):
        for item in getattr(same, part).values():
            assert item.difference in (0, None) and not item.clear
            assert item.low in (0, None) and item.high in (0, None)
    assert np.array_equal(*same.confusion)


def test_the_seed_decides_the_resamples(paths, comparison):
    again = compare_predictions(*paths, settings=FEW)
    assert numbers(again) == numbers(comparison)
    other = compare_predictions(
        *paths, settings=Settings(resamples=40, seed=1))
    one, two = (item.overall['mask AP'] for item in (comparison, other))
    assert one.difference == two.difference and one.low != two.low


@pytest.mark.parametrize('empty', ['first', 'second', 'both', 'truth'])
def test_nothing_on_a_side(scene, tmp_path, empty):
    annotations, worse, better = scene
    if empty == 'truth':
        annotations = dict(annotations, annotations=[])
    files = write(tmp_path, annotations,
                  [] if empty in ('first', 'both') else worse,
                  [] if empty in ('second', 'both') else better)
    result = compare_predictions(*files, settings=FEW)
    ap = result.overall['mask AP']
    if empty == 'truth':
        assert ap.a is ap.b is ap.difference is ap.low is None
        assert 'Images without instances to find: 7;' in to_text(result)
    elif empty == 'both':
        assert ap[:5] == (0, 0, 0, 0, 0)
    else:
        assert (ap.a == 0) == (empty == 'first')
        assert (ap.b == 0) == (empty == 'second')
        assert 'has no predictions' in to_text(result)
    if empty != 'truth':
        assert result.num_common == 0
        assert result.bands['0-1 %'].difference is None
    written = write_comparison(result, tmp_path / 'out', num_images=2)
    assert (tmp_path / 'out/comparison.json') in written
    json.loads((tmp_path / 'out/comparison.json').read_text())


def test_what_rests_on_one_image_has_no_interval(scene, tmp_path):
    annotations, worse, better = json.loads(json.dumps(scene))
    fives = [a for a in annotations['annotations'] if a['category_id'] == 5]
    alone = next(a['image_id'] for a in fives if not a['iscrowd'])
    for item in fives:
        if item['image_id'] != alone:
            item['category_id'] = 2
    result = compare_predictions(
        *write(tmp_path, annotations, worse, better), settings=FEW)
    five, two = (result.classes[name] for name in ('five', 'two'))
    assert five.difference is not None and five.low is five.high is None
    assert not five.clear
    assert two.low is not None
    for items in (annotations['images'], annotations['annotations'], worse,
                  better):
        items[:] = [item for item in items
                    if item.get('image_id', item.get('id')) == alone]
    single = compare_predictions(
        *write(tmp_path, annotations, worse, better), settings=FEW)
    for part in ('overall', 'classes', 'bands', 'errors'):
        for item in getattr(single, part).values():
            assert item.low is item.high is None and not item.clear


def test_names_of_models(tmp_path, scene):
    def named(first, second, **options):
        one = write(tmp_path / first[0], *scene[:2],
                    names=('truth', first[1]))
        two = write(tmp_path / second[0], scene[2], names=(second[1], ))
        return compare_predictions(
            *one, *two, settings=Settings(resamples=1), **options).names

    assert named(('x', 'a.segm'), ('y', 'b')) == ('a', 'b')
    assert named(('x', 'a.segm'), ('y', 'a.segm')) == ('x/a', 'y/a')
    assert named(('x', 'a.segm'), ('x', 'a.bbox')) == (
        'x/a (A)', 'x/a (B)')
    assert named(('x', 'a'), ('y', 'b'), names=('p', 'q')) == ('p', 'q')
    for names in (('p', 'p'), ('p', ), ('', 'q')):
        with pytest.raises(ValueError, match='two different names'):
            named(('x', 'a'), ('y', 'b'), names=names)


def test_boxes_count_only_where_both_have_them(scene, tmp_path):
    annotations, worse, better = scene
    boxed = random_coco(12, num_images=7, boxes=True)[1]
    bare = compare_predictions(
        *write(tmp_path, annotations, worse, better), settings=FEW)
    half = compare_predictions(
        *write(tmp_path, annotations, boxed, better), settings=FEW)
    both = compare_predictions(
        *write(tmp_path, annotations, boxed, boxed), names=('p', 'q'),
        settings=FEW)
    assert half.overall == bare.overall
    assert any('boxes around the masks' in note for note in half.notes)
    assert not any('boxes around' in note for note in both.notes)
    assert both.overall['box AP'].a != bare.overall['box AP'].a
    assert both.overall['mask AP small'].a == bare.overall[
        'mask AP small'].a


def test_score_thresholds_decide_what_is_sure(paths):
    none = compare_predictions(
        *paths, settings=Settings(resamples=1, score_thr=(2.0, 0.0)))
    assert [model.threshold for model in none.models] == [2.0, 0.0]
    assert none.confusion[0][:, :-1].sum() == 0
    assert none.confusion[1][:, :-1].sum() > 0
    assert none.overall['mask AP'].a > 0


def test_notes_say_what_a_reader_should_know(scene, tmp_path):
    annotations, worse, better = json.loads(json.dumps(scene))
    annotations['annotations'][0].update(iscrowd=0, ignore=1)
    result = compare_predictions(
        *write(tmp_path, annotations, worse, better),
        settings=Settings(resamples=1, max_dets=1))
    text = '\n'.join(result.notes)
    assert 'Instances with `ignore`: 1;' in text
    assert 'beyond the limit by image and class: ' in text
    assert 'without instances, and so without AP: 1 (nine).' in text
    assert '7 images are few' in text


def test_text_and_markdown(comparison):
    text = to_text(comparison, num_images=3)
    lines = text.splitlines()
    assert lines[0].startswith('A: worse, ')
    ap = comparison.overall['mask AP']
    row = next(line for line in lines if line.startswith('mask AP '))
    assert row.split()[2:5] == [f'{100 * ap.a:.1f}', f'{100 * ap.b:.1f}',
                                f'{100 * ap.difference:+.1f}']
    assert row.endswith('*')
    for word in ('localisation', '0-1 %', 'Confusion of better', 'missed'):
        assert word in text
    page = to_markdown(comparison, pictures=['images/x.png'])
    assert page.startswith('# worse and better on truth.json\n')
    assert '![images/x.png](images/x.png)' in page
    for block in page.split('\n\n'):
        if block.startswith('|'):
            assert len({line.replace('\\|', '').count('|')
                        for line in block.splitlines()}) == 1


def test_files_and_pictures(comparison, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for info in comparison.annotations.images:
        cv2.imwrite(str(folder / info.file_name),
                    np.full((*SHAPE, 3), 200, np.uint8))
    written = write_comparison(comparison, tmp_path / 'out', images=folder,
                               num_images=2)
    names = {str(path.relative_to(tmp_path / 'out')) for path in written}
    first, second = (comparison.images[i].image_id for i in (0, 1))
    assert names == {
        'comparison.json', 'comparison.md', 'differences.png', 'errors.png',
        'bands.png', 'confusion.png', f'images/01_{first}.png',
        f'images/02_{second}.png'}
    assert {str(p.relative_to(tmp_path / 'out'))
            for p in (tmp_path / 'out').rglob('*') if p.is_file()} == names
    for path in written:
        if path.suffix == '.png':
            assert cv2.imread(str(path)).std() > 5
    page = (tmp_path / 'out/comparison.md').read_text()
    assert all(f']({name})' in page for name in names
               if name.endswith('.png'))
    data = json.loads((tmp_path / 'out/comparison.json').read_text())
    assert data['overall']['mask AP']['clear'] is True


def shows(picture, color):
    # Outlines are smoothed: a few levels off.
    far = np.abs(picture.astype(int) - color).max(axis=2)
    return bool((far < 15).any())


def test_colors_tell_right_from_wrong(comparison):
    row = comparison.images[0]
    picture = draw_row(comparison, row)
    # Three panels with gaps.
    width = (picture.shape[1] - 12) // 3
    panels = [picture[24:, start:start + width]
              for start in (0, width + 6, 2 * (width + 6))]
    green, red, yellow = (80, 200, 60), (50, 50, 235), (0, 215, 255)
    assert row.a.missed and row.a.wrong and row.a.right
    seen = [[shows(panel, color) for color in (green, red, yellow)]
            for panel in panels]
    assert seen == [[False] * 3, [True] * 3, [True, False, False]]


def test_bad_images_stop_before_anything_is_written(comparison, tmp_path):
    with pytest.raises(FileNotFoundError, match='missing or no image'):
        write_comparison(comparison, tmp_path / 'out', images=tmp_path)
    for info in comparison.annotations.images:
        cv2.imwrite(str(tmp_path / info.file_name),
                    np.zeros((9, 11, 3), np.uint8))
    with pytest.raises(ValueError, match='must be 52 x 37 .* got 11 x 9'):
        write_comparison(comparison, tmp_path / 'out', images=tmp_path)
    assert not (tmp_path / 'out').exists()


def test_the_tool(paths, repository, tmp_path):
    command = [sys.executable,
               repository / 'tools/analysis_tools/compare_predictions.py',
               *paths, '--resamples', '20', '--out', tmp_path / 'out',
               '--num-images', '1', '--names', 'p', 'q']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # mmdet says a word before.
    assert '\nA: p, ' in '\n' + done.stdout
    assert done.stdout.endswith(f'7 files in {tmp_path / "out"}\n')
