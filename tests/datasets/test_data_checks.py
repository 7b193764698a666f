"""Images are opened and compared with their annotations."""
import cv2
import numpy as np
import pytest

from mmseghead.datasets.data_checks import image_problems


def _info(folder, name, height=20, width=31):
    return dict(img_path=str(folder / name), height=height, width=width)


@pytest.fixture
def folder(tmp_path):
    picture = np.random.RandomState(0).randint(0, 255, (20, 31, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'good.png'), picture)
    cv2.imwrite(str(tmp_path / 'grey.png'), picture[..., 0])
    cv2.imwrite(str(tmp_path / 'deep.png'), picture.astype(np.uint16) * 200)
    cv2.imwrite(str(tmp_path / 'turned.png'), picture.transpose(1, 0, 2))
    data = (tmp_path / 'good.png').read_bytes()
    (tmp_path / 'empty.png').write_bytes(b'')
    (tmp_path / 'text.png').write_bytes(b'no picture')
    (tmp_path / 'head.png').write_bytes(data[:20])
    return tmp_path


def test_readable_images_of_any_kind_pass(folder):
    infos = [_info(folder, name) for name in
             ('good.png', 'grey.png', 'deep.png')]
    assert image_problems(infos, None) == []


@pytest.mark.parametrize('name, message', [
    ('missing.png', 'does not exist'),
    ('empty.png', 'cannot be read as an image'),
    ('text.png', 'cannot be read as an image'),
    ('head.png', 'cannot be read as an image'),
    ('turned.png', 'is 20 x 31 px, but the annotations say 31 x 20'),
])
def test_faults_name_the_file(folder, name, message):
    found = image_problems([_info(folder, 'good.png'), _info(folder, name)],
                           None)
    assert len(found) == 1
    assert str(folder / name) in found[0] and message in found[0]


def test_turned_image_hints_at_exif(folder):
    found = image_problems([_info(folder, 'turned.png')], None)
    assert 'EXIF' in found[0]


def test_sample_is_spread_evenly(folder):
    infos = [_info(folder, f'{i}.png') for i in range(11)]
    found = image_problems(infos, 3)
    assert [text.split('/')[-1].split()[0] for text in found
            ] == ['0.png', '5.png', '10.png']
    assert len(image_problems(infos, None)) == 11
    assert image_problems(infos, 0) == []
