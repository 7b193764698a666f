"""Which images the gallery shows, and in which colours."""
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmseghead.apis import gallery_pictures as module
from mmseghead.apis.gallery import find_models
from mmseghead.apis.gallery_pictures import (FOLDER, Scene, colors_of,
                                             missing_pictures, object_sizes,
                                             pick_images, picture_file, scenes,
                                             truth_file)
from mmseghead.apis.model_index import load_index
from mmseghead.visualization.instances import instance_color


def annotations(*images, classes=3):
    """COCO content; an image is a list of its objects' classes."""
    return dict(
        images=[dict(id=i + 1, file_name=f'{i + 1:03}.png')
                for i in range(len(images))],
        categories=[dict(id=i) for i in range(classes)],
        annotations=[dict(image_id=i + 1, category_id=label)
                     for i, labels in enumerate(images) for label in labels])


def test_images_with_most_classes_come_first():
    content = annotations([0], [0, 1, 2], [1, 1, 1, 1], [2, 1, 0], [0, 1],
                          [0, 1])
    assert [i['id'] for i in pick_images(content, 3)] == [2, 4, 5]


def test_one_class_takes_steps_through_the_counts():
    counts = [7, 0, 3, 5, 1, 6, 2, 4]
    content = annotations(*[[0] * count for count in counts], classes=1)
    picked = [counts[i['id'] - 1] for i in pick_images(content, 3)]
    assert picked == [2, 4, 6]
    with pytest.raises(ValueError, match='at most'):
        pick_images(annotations([0]), 3)


def test_colours_are_those_of_the_objects():
    truth = np.zeros((2, 8, 9), bool)
    truth[0, :4, :4] = truth[1, 4:, 5:] = True
    masks = np.zeros((4, 8, 9), bool)
    masks[0, 4:, 5:] = True  # the second object
    masks[1, :3, :4] = True  # the first, in part
    masks[2, 7, 0] = True  # none
    assert colors_of(masks, truth) == [
        instance_color(1), instance_color(0), module._GREY, module._GREY]
    assert colors_of(masks, truth[:0]) == [module._GREY] * 4
    assert colors_of(masks[:0], truth) == []


@pytest.mark.parametrize('with_masks', [True, False])
def test_as_many_instances_as_objects(with_masks):
    """The surest two of three are drawn, and nothing for none."""
    image = np.full((12, 14, 3), 100, np.uint8)
    masks = torch.zeros(3, 12, 14, dtype=torch.bool)
    masks[0, 1:4, 1:4] = masks[1, 5:9, 5:9] = masks[2, 9:, 10:] = True
    found = InstanceData(
        masks=masks, scores=torch.tensor([.2, .9, .5]),
        bboxes=torch.tensor([[1., 1, 4, 4], [5, 5, 9, 9], [10, 9, 14, 12]]))
    truth = masks[1:].numpy()
    drawn = module._predictions(found, image, truth, with_masks)
    assert drawn.shape == (24, 28, 3)
    assert (drawn[2:7, 2:7] == 100).all()  # the least sure one
    for row, column in ((10, 11), (19, 22)):
        assert (drawn[row:row + 2, column:column + 2] != 100).any()
    nothing = module._predictions(found[:0], image, truth, with_masks)
    assert (nothing == 100).all()


def test_pictures_belong_to_weights(quick_zoo):
    root = quick_zoo.root
    quick_zoo.publish('alpha_quick_shapes', 40.)
    models = find_models(load_index(root), ['alpha', 'boxes'], ['shapes'])
    assert [m.stem for m in missing_pictures(root, models)] == ['alpha']
    folder = root / FOLDER
    folder.mkdir(parents=True)
    (folder / 'images.json').write_text(json.dumps(dict(shapes=dict(
        scenes=[dict(stem='007', objects=3)],
        objects=dict(median=9., above_grid=.5)))))
    scene = Scene('007', 3)
    assert scenes(root) == dict(shapes=[scene], nuclei=[])
    assert object_sizes(root)['nuclei'] == {}
    path = picture_file(root, models[0], scene)
    module._write(path, np.zeros((20, 50, 3), np.uint8))
    assert cv2.imread(str(path)).shape == (154, 384, 3)
    assert missing_pictures(root, models) == []
    assert truth_file(root, 'shapes', scene).name == 'shapes.007.truth.webp'
    # New weights, new pictures.
    entry = load_index(root)['alpha_quick_shapes']
    text = entry.metafile.read_text()
    entry.metafile.write_text(text.replace(
        entry.weights_file, 'alpha_quick_shapes-12345678.pth'))
    models = find_models(load_index(root), ['alpha'], ['shapes'])
    assert missing_pictures(root, models) == models


def test_absent_weights_are_reported(quick_zoo, monkeypatch):
    monkeypatch.delenv('MMSEGHEAD_WEIGHTS', raising=False)
    quick_zoo.publish('alpha_quick_shapes', 40.)
    index = load_index(quick_zoo.root)
    failures = module.draw_pictures(index, find_models(index))
    assert list(failures) == ['alpha_quick_shapes']
    assert 'No mirror holds' in failures['alpha_quick_shapes']


@pytest.mark.parametrize('fails', [True, False])
def test_old_pictures_go_when_new_ones_are_there(quick_zoo, monkeypatch,
                                                 fails):
    root = quick_zoo.root
    quick_zoo.publish('alpha_quick_shapes', 40.)
    images = [dict(id=i, file_name=f'{i}.png', height=9, width=14)
              for i in range(3)]
    boxes = [dict(id=i + 1, image_id=i, category_id=1, iscrowd=0, area=6.,
                  bbox=[2, 1, 3, 2], segmentation=[[2, 1, 5, 1, 5, 3, 2, 3]])
             for i in range(3)]
    (root / 'a.json').write_text(json.dumps(dict(
        images=images, annotations=boxes,
        categories=[dict(id=1, name='disk')])))
    for image in images:
        cv2.imwrite(str(root / image['file_name']),
                    np.zeros((9, 14, 3), np.uint8))
    data = SimpleNamespace(data_root='', ann_file='a.json',
                           data_prefix=SimpleNamespace(img=''))
    cfg = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=data))
    monkeypatch.setattr(module, 'load_config', lambda *_: cfg)
    monkeypatch.setattr(module, 'find_weights', lambda *_: 'weights.pth')

    def predict(images):
        if fails:
            raise ValueError('broken on purpose')
        return [InstanceData(scores=torch.zeros(0))]

    monkeypatch.setattr(module, 'Predictor', lambda *_, **__: predict)
    old = root / FOLDER / 'alpha_quick_shapes-12345678.0.webp'
    old.parent.mkdir(parents=True)
    old.touch()
    index = load_index(root)
    models = find_models(index, ['alpha'], ['shapes'])
    failures = module.draw_pictures(index, models)
    assert bool(failures) == fails == old.exists()
    assert missing_pictures(root, models) == (models if fails else [])
