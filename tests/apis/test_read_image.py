"""Users' images are read like training reads them, or named and refused."""
import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from mmseghead.apis.read_image import find_inputs, is_video, read_image

HEIGHT, WIDTH = 40, 61


@pytest.fixture(scope='module')
def colors():
    """(HEIGHT, WIDTH, 3) BGR, smooth, so that JPEG keeps it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack((rows * 5, columns * 4, 255 - rows * 3 - columns),
                    2).astype(np.uint8)


def saved(folder, kind, colors):
    """Write the picture in one of many ways; return path and what to see."""
    path = folder / kind
    rgb = Image.fromarray(colors[:, :, ::-1])
    grey = cv2.cvtColor(colors, cv2.COLOR_BGR2GRAY)
    if kind.startswith('plain'):
        cv2.imwrite(str(path), colors)
    elif kind.startswith('grey'):
        cv2.imwrite(str(path), grey)
    elif kind.startswith('sixteen'):
        cv2.imwrite(str(path), grey.astype(np.uint16) * 256 + 77)
    elif kind.startswith('color16'):
        cv2.imwrite(str(path), colors.astype(np.uint16) * 256 + 77)
    elif kind.startswith('alpha'):
        rgb.putalpha(60)
        rgb.save(path)
    elif kind.startswith('rotated'):
        exif = rgb.getexif()
        exif[0x112] = 6
        rgb.save(path, exif=exif, quality=98)
        return path, np.rot90(colors, -1)
    else:
        rgb.convert('CMYK').save(path)
    if kind.startswith(('grey', 'sixteen')):
        colors = np.repeat(grey[:, :, None], 3, 2)
    return path, colors


@pytest.mark.parametrize('kind, error', [
    ('plain.png', 0), ('plain.jpg', 12), ('plain.bmp', 0), ('plain.tif', 0),
    ('grey.png', 0), ('grey.tif', 0), ('sixteen.png', 0), ('sixteen.tif', 0),
    ('color16.png', 0), ('color16.tif', 1), ('alpha.png', 0),
    ('cmyk.jpg', 25), ('cmyk.tif', 2), ('rotated.jpg', 12)])
def test_kinds_of_images(tmp_path, colors, kind, error):
    path, wanted = saved(tmp_path, kind, colors)
    pixels, note = read_image(path)
    assert note is None
    assert pixels.dtype == np.uint8 and pixels.shape == wanted.shape
    assert abs(pixels.astype(int) - wanted).max() <= error
    if kind != 'cmyk.tif':  # OpenCV does not know it: no training does
        assert np.array_equal(pixels, mmcv.imread(str(path)))


def test_dark_16_bit_images_are_noted(tmp_path, colors):
    path = tmp_path / 'dark.png'
    cv2.imwrite(str(path), colors[:, :, 0].astype(np.uint16) * 15)
    pixels, note = read_image(path)
    assert 'dark.png' in note and 'upper 8' in note
    assert pixels.max() < 16


@pytest.mark.parametrize('kind, old_opencv', [
    ('plain.png', False), ('plain.jpg', False), ('sixteen.tif', False),
    ('plain.png', True), ('plain.jpg', True)])
def test_cut_off_files(tmp_path, colors, kind, old_opencv, monkeypatch):
    if old_opencv:  # fills what is missing
        monkeypatch.setattr(cv2, 'imdecode', lambda *_: colors)
    path, _ = saved(tmp_path, kind, colors)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) * 2 // 3])
    with pytest.raises(ValueError, match=kind):
        read_image(path)


@pytest.mark.parametrize('content', [b'', b'no image', bytes(200)])
def test_no_images(tmp_path, content):
    path = tmp_path / 'strange.png'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='strange.png is no image'):
        read_image(path)


def test_inputs_are_found(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'deep/er/c.tif', 'd.mp4', 'notes.txt'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [str(p.relative_to(tmp_path)) for p in find_inputs(str(tmp_path))]
    assert found == ['a.jpg', 'b.PNG', 'd.mp4', 'deep/er/c.tif']
    found = find_inputs(f'{tmp_path}/**/*.[tj]*[fg]')
    assert [p.name for p in found] == ['a.jpg', 'c.tif']
    # A file is what its user says it is.
    assert len(find_inputs(str(tmp_path / 'notes.txt'))) == 1
    assert is_video(tmp_path / 'x.MP4') and not is_video(tmp_path / 'x.png')
    (tmp_path / 'empty').mkdir()
    for where in ('empty', 'gone.png', '*.gif'):
        with pytest.raises(FileNotFoundError, match='No images at'):
            find_inputs(str(tmp_path / where))
