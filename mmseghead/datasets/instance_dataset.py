"""Instance segmentation data sets in COCO JSON, checked before use."""
import os
from functools import partial
from typing import List, Optional

from mmdet.datasets import CityscapesDataset, CocoDataset, LVISV1Dataset
from mmdet.datasets.api_wrappers import COCO

from mmseghead.registry import DATASETS
from mmseghead.utils.class_check import check_class_list, check_classes
from .coco_checks import iter_problems
from .coco_json import read_json, stop_at_errors
from .data_checks import Dropped, count_dropped
from .seeded_sampler import SeededDrawMixin
from .shapes_drawing import SHAPE_CLASSES

# Files with more annotations are only looked through by check_config.py, as
# it would take more than some seconds.
_MOST_CHECKED = 100_000


@DATASETS.register_module()
class InstanceDataset(SeededDrawMixin, CocoDataset):
    """mmdet's ``CocoDataset`` that stops on a mistake instead of guessing.

    Before the first sample it raises when the annotation file or the images
    are missing, when the file is broken, when ``metainfo.classes`` and the
    file's categories differ in names, count or order, and when no image is
    left after filtering. Arguments are those of ``mmdet.CocoDataset``;
    ``metainfo`` given in the config wins over ``METAINFO``.

    Attributes:
        dropped: What loading and filtering left out; None before loading.

    Raises:
        FileNotFoundError: if the annotation file or the images are missing.
        TypeError: if ``metainfo.classes`` is no tuple of names.
        ValueError: if the file is no COCO JSON or has errors, the classes
            differ, or no image is left.
    """

    dropped: Optional[Dropped] = None

    # How to get the data; shown when it is missing.
    SOURCE = 'docs/data.md says where to get each data set and how to lay it '\
        'out'

    def load_data_list(self) -> List[dict]:
        """Check files and classes, then load all images' annotations."""
        owner = type(self).__name__
        self._check_files('ann_file', self.ann_file, os.path.isfile)
        for key, folder in self.data_prefix.items():
            self._check_files(f'data_prefix.{key}', folder, os.path.isdir)
        check_class_list(self.metainfo.get('classes', ()), owner)
        # mmdet reads the file through this attribute; checking in passing
        # saves a second read, which takes seconds for COCO.
        self.COCOAPI = partial(self._checked_coco, owner)
        try:
            data_list = super().load_data_list()
        finally:
            del self.COCOAPI
        self.dropped = count_dropped(data_list, self.filter_cfg,
                                     self.test_mode, self._listed)
        if data_list:
            self._check_files("an image of `ann_file`'s list; data_prefix.img",
                              data_list[0]['img_path'], os.path.isfile)
        return data_list

    def filter_data(self) -> List[dict]:
        """Apply ``filter_cfg`` as mmdet does; raise if nothing is left."""
        kept = super().filter_data()
        if kept:
            return kept
        total = len(self.data_list)
        annotated = sum(bool(info['instances']) for info in self.data_list)
        largest = max(
            min(info['height'], info['width']) for info in self.data_list)
        raise ValueError(
            f'`filter_cfg` of {type(self).__name__} removed every image of '
            f'{self.ann_file}: {dict(self.filter_cfg)}. Of {total} images, '
            f'{annotated} have instances of {self.metainfo["classes"]}; the '
            f'longest shorter side is {largest} px. Relax `filter_empty_gt` '
            'or `min_size`, or check the annotations.')

    def _checked_coco(self, owner: str, local_path: str) -> COCO:
        """Read a file into pycocotools' class, unless it has errors."""
        data = read_json(local_path)
        listed = data.get('annotations') if isinstance(data, dict) else None
        if not isinstance(listed, list) or len(listed) <= _MOST_CHECKED:
            stop_at_errors(self.ann_file, iter_problems(data))
        check_classes(self.metainfo['classes'], data['categories'], owner,
                      self.ann_file)
        self._listed = len(listed)
        coco = COCO()
        coco.dataset = data
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def _check_files(self, key: str, path: str, exists) -> None:
        # Remote storage ('s3://...') answers for itself when it is read.
        if '://' in path or exists(path):
            return
        raise FileNotFoundError(
            f'{type(self).__name__} finds no {path} (config key `{key}`, '
            f'`data_root` is {self.data_root!r}). {self.SOURCE}.')


@DATASETS.register_module()
class ShapesDataset(InstanceDataset):
    """The embedded data set of ``mmseghead.datasets.generate_shapes``."""

    METAINFO = dict(
        classes=SHAPE_CLASSES,
        palette=[(230, 97, 1), (94, 60, 153), (253, 184, 99), (26, 133, 255),
                 (212, 17, 89), (64, 176, 166)])
    SOURCE = 'Make it in half a minute: ' \
        '`python tools/dataset_converters/make_shapes.py`'


@DATASETS.register_module()
class NucleiDataset(InstanceDataset):
    """Nuclei of the 2018 Data Science Bowl, stage 1."""

    METAINFO = dict(classes=('nucleus', ), palette=[(26, 133, 255)])
    SOURCE = 'Link a folder that has it in COCO format, `ln -s <folder> ' \
        'data/nuclei`, or convert stage1_train with `python ' \
        'tools/dataset_converters/dsb2018_to_coco.py`; see docs/data.md'


@DATASETS.register_module()
class LVISInstanceDataset(InstanceDataset):
    """LVIS v1, read without the ``lvis`` package.

    The JSON is COCO's but for the place of the file name. Differs from
    ``mmdet.LVISV1Dataset``: the classes are checked.
    """

    METAINFO = LVISV1Dataset.METAINFO
    _IMAGE_HOST = 'http://images.cocodataset.org/'

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Take the file's name, with its folder, from ``coco_url``."""
        info = raw_data_info['raw_img_info']
        info['file_name'] = info['coco_url'].replace(self._IMAGE_HOST, '')
        return super().parse_data_info(raw_data_info)


@DATASETS.register_module()
class CityscapesInstanceDataset(InstanceDataset, CityscapesDataset):
    """Cityscapes' eight classes of things, converted to COCO JSON.

    As ``mmdet.CityscapesDataset`` does, ``filter_empty_gt`` also removes
    images whose instances are all crowds.
    """

    METAINFO = CityscapesDataset.METAINFO
