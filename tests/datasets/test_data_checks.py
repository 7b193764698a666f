"""Images are opened and compared with their annotations."""
import cv2
import numpy as np
import pytest
from PIL import Image

from mmseghead.datasets.data_checks import image_problems


def _info(folder, name, height=20, width=31):
    return dict(img_path=str(folder / name), height=height, width=width)


@pytest.fixture
def folder(tmp_path):
    picture = np.random.RandomState(0).randint(0, 255, (20, 31, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'good.png'), picture)
    cv2.imwrite(str(tmp_path / 'grey.png'), picture[..., 0])
    cv2.imwrite(str(tmp_path / 'deep.png'), picture.astype(np.uint16) * 200)
    cv2.imwrite(str(tmp_path / 'dark.png'),
                picture[..., 0].astype(np.uint16) * 16)
    cv2.imwrite(str(tmp_path / 'turned.png'), picture.transpose(1, 0, 2))
    data = (tmp_path / 'good.png').read_bytes()
    (tmp_path / 'empty.png').write_bytes(b'')
    (tmp_path / 'text.png').write_bytes(b'no picture')
    (tmp_path / 'head.png').write_bytes(data[:20])
    cv2.imwrite(str(tmp_path / 'whole.jpg'), picture)
    data = (tmp_path / 'whole.jpg').read_bytes()
    (tmp_path / 'half.jpg').write_bytes(data[:len(data) - 99])
    (tmp_path / 'tail.jpg').write_bytes(data + b'\0\0')
    upright = Image.fromarray(picture)
    upright.convert('RGBA').save(tmp_path / 'clear.png')
    upright.convert('CMYK').save(tmp_path / 'ink.jpg')
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    upright.save(tmp_path / 'exif.jpg', exif=turned)
    return tmp_path


def test_readable_images_of_any_kind_pass(folder):
    infos = [_info(folder, name) for name in
             ('good.png', 'grey.png', 'whole.jpg', 'tail.jpg', 'ink.jpg')]
    assert image_problems(infos, None) == []


@pytest.mark.parametrize('name, message', [
    ('missing.png', 'does not exist'),
    ('empty.png', 'cannot be read as an image'),
    ('text.png', 'cannot be read as an image'),
    ('head.png', 'cannot be read as an image'),
    ('turned.png', 'is 20 x 31 px, but the annotations say 31 x 20'),
    ('half.jpg', 'cannot be read as an image'),
    ('exif.jpg', 'turned by its EXIF orientation'),
])
def test_faults_name_the_file(folder, name, message):
    found = image_problems([_info(folder, 'good.png'), _info(folder, name)],
                           None)
    assert len(found) == 1
    assert found[0].severity == 'error'
    assert str(folder / name) in found[0].message
    assert message in found[0].message


@pytest.mark.parametrize('name, message', [
    ('deep.png', 'only the upper 8 are read'),
    ('dark.png', 'only the upper 8 are read'),
    ('clear.png', 'transparency'),
])
def test_what_reading_loses_is_a_warning(folder, name, message):
    found = image_problems([_info(folder, name)], None)
    assert [problem.severity for problem in found] == ['warning']
    assert name in found[0].message and message in found[0].message


def test_huge_image_is_named(folder, monkeypatch):

    def refuse(*_):
        raise cv2.error('pixels')

    monkeypatch.setattr(cv2, 'imdecode', refuse)
    found = image_problems([_info(folder, 'good.png')], None)
    assert 'good.png is too large for OpenCV' in found[0].message


def test_sample_is_spread_evenly(folder):
    infos = [_info(folder, f'{i}.png') for i in range(11)]
    found = image_problems(infos, 3)
    assert [problem.message.split('/')[-1].split()[0] for problem in found
            ] == ['0.png', '5.png', '10.png']
    assert len(image_problems(infos, None)) == 11
    assert image_problems(infos, 0) == []


def test_cut_image_that_opencv_fills_up(folder, monkeypatch):
    # Before 4.12 OpenCV reads what there is and fills the rest with grey.
    picture = np.full((20, 31, 3), 128, np.uint8)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: picture)
    found = image_problems([_info(folder, 'half.jpg')], None)
    assert 'half.jpg is cut off' in found[0].message
    names = ('good.png', 'whole.jpg', 'tail.jpg', 'exif.jpg')
    assert image_problems([_info(folder, n) for n in names], None) == []
