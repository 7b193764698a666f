"""What all conversions share: images, class names, the builder, reports."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseghead.datasets.coco_json import read_coco
from mmseghead.datasets.converters import coco_to_png
from mmseghead.datasets.converters.class_names import (classes_or_found,
                                                       read_class_names)
from mmseghead.datasets.converters.coco_builder import CocoBuilder
from mmseghead.datasets.converters.image_files import (find_image, image_size,
                                                       list_images)
from mmseghead.datasets.converters.instances import read_instances
from mmseghead.datasets.converters.report import ConversionReport
from mmseghead.testing.coco_files import write_coco


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'CMYK', 'P', 'I;16'])
def test_image_sizes(tmp_path, mode):
    suffix = 'tif' if mode in ('CMYK', 'I;16') else 'png'
    path = tmp_path / f'a.{suffix}'
    Image.new(mode, (31, 20)).save(path)
    assert image_size(path) == (20, 31)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_size_is_the_one_that_opencv_shows(tmp_path, orientation):
    """Training reads images with OpenCV, which turns them as EXIF says."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / 'a.jpg'
    Image.new('RGB', (31, 20)).save(path, exif=exif)
    assert image_size(path) == cv2.imread(str(path)).shape[:2]


def test_bad_images(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no image .*a.png'):
        image_size(tmp_path / 'a.png')
    Image.new('L', (31, 20)).save(tmp_path / 'a.png')
    data = (tmp_path / 'a.png').read_bytes()
    for content in (b'', b'text', data[:20]):
        (tmp_path / 'a.png').write_bytes(content)
        with pytest.raises(ValueError, match='a.png cannot be read as an im'):
            image_size(tmp_path / 'a.png')
    with pytest.raises(FileNotFoundError, match='none must be a folder .*not'):
        list_images(tmp_path / 'none')
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/B.JPG').touch()
    assert [p.name for p in list_images(tmp_path)] == ['a.png', 'B.JPG']
    assert find_image(tmp_path, Path('sub/B')).name == 'B.JPG'
    assert find_image(tmp_path, Path('b')) is None


def test_class_names(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('\ufeff__ignore__\n_background_\n bolt \n\nnut', 'utf-8')
    assert read_class_names(path) == ('bolt', 'nut')
    path.write_text('bolt\nnut\nbolt\n')
    with pytest.raises(ValueError, match="line 3: the class 'bolt' comes twi"):
        read_class_names(path)
    path.write_text('\n')
    with pytest.raises(ValueError, match='must list at least one class'):
        read_class_names(path)
    with pytest.raises(FileNotFoundError, match='no list of classes .*none'):
        read_class_names(tmp_path / 'none')
    assert classes_or_found((), ['b', 'a', 'b']) == ('a', 'b')
    assert classes_or_found(['b'], ['a']) == ('b', )
    with pytest.raises(ValueError, match='no labelled shape'):
        classes_or_found((), [])


def test_builder(tmp_path):
    builder = CocoBuilder(['bolt', 'nut'])
    with pytest.raises(ValueError, match='There is no image to write to'):
        builder.write(tmp_path / 'a.json')
    builder.add_image('x/a.png', (9, 13))
    mask = np.zeros((9, 13), dtype=bool)
    assert not builder.add(0, mask, 'nothing')
    mask[2:5, 3:9] = True
    mask[3, 4] = False
    assert builder.add(1, mask, 'mask', is_crowd=True)
    # Two parts, of which one is outside.
    assert builder.add(0, [[[1, 1], [4, 1], [4, 4], [1, 4]],
                           [[20, 1], [24, 1], [24, 4]]], 'parts')
    builder.write(tmp_path / 'a.json')
    data = read_coco(tmp_path / 'a.json')
    first, second = data['annotations']
    assert (first['id'], first['category_id'], first['iscrowd']) == (1, 2, 1)
    assert (first['area'], first['bbox']) == (17, [3, 2, 6, 3])
    assert (second['id'], second['area']) == (2, 9)
    assert second['segmentation'] == [[1, 1, 4, 1, 4, 4, 1, 4]]
    assert builder.report.losses == dict(
        no_pixels=['nothing'], clipped=['parts'])
    assert (builder.report.images, builder.report.instances) == (1, 2)
    for classes in ([], ['a', 'a'], ['', 'a'], [3]):
        with pytest.raises(ValueError, match='`classes` must be names'):
            CocoBuilder(classes)


def test_report_adds_and_tells():
    report = ConversionReport(images=1, instances=4)
    report.lose('hidden', 'first')
    report.ious = [0.0, 0.5]
    other = ConversionReport(images=2, instances=3)
    for i in range(7):
        other.lose('hidden', f'n{i}')
    other.lose('crowds', 'c')
    report.add(other)
    # 6 are whole, one is half, one is gone.
    assert report.mean_iou == pytest.approx((6 + 0.5) / 8)
    assert report.summary(num_shown=3).splitlines() == [
        '3 images, 7 instances',
        '8 x hidden by others altogether: left out: first, n0, n1 and 5 more',
        '1 x crowd regions: left out: c',
        'mask IoU before and after: mean 0.8125 of all, lowest 0.0000'
    ]
    assert ConversionReport().mean_iou == 1
    assert ConversionReport(1, 2).summary().endswith('\nnothing lost')
    with pytest.raises(AssertionError, match='none of'):
        report.lose('misspelt', 'x')


def test_reading_a_file_of_lvis_kind(tmp_path):
    """Ids with gaps and a 0, no file name but a URL."""
    path = write_coco(tmp_path, {'a.png': ((9, 13), [])})
    data = json.loads(path.read_text())
    data['images'][0]['coco_url'] = 'http://x/train2017/5.jpg'
    del data['images'][0]['file_name']
    data['categories'] = [dict(id=9, name='nut'), dict(id=0, name='bolt')]
    data['annotations'] = [
        dict(id=3, image_id=1, category_id=0, bbox=[0, 0, 1, 1], area=1,
             segmentation=dict(size=[9, 13], counts=[0, 1, 116]))
    ]
    path.write_text(json.dumps(data))
    content = read_instances(path)
    assert content.classes == ('nut', 'bolt')
    (image, ) = content.images
    assert image.info['file_name'] == '5.jpg' and image.size == (9, 13)
    (instance, ) = image.instances
    assert instance.label == 1 and instance.name == 'annotation 3'
    data['images'][0]['coco_url'] = ''
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match='`file_name` must be the path'):
        read_instances(path)


@pytest.mark.parametrize('name', ['/a.png', '../a.png'])
def test_paths_stay_below_the_folder(tmp_path, name):
    path = write_coco(tmp_path, {'a.png': ((9, 13), [])})
    data = json.loads(path.read_text())
    data['images'][0]['file_name'] = name
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match='image 1 must lie below the image f'):
        coco_to_png(path, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
