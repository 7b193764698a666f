"""What Spatial Embeddings see in an image."""
from pathlib import Path
from typing import Any, List, Tuple

import cv2
import numpy as np
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from torch import Tensor

from mmseghead.functional.embedding_clustering import (Clusters,
                                                       EmbeddingClustering)
from mmseghead.functional.spatial_embedding import (bandwidth_weights,
                                                    coordinate_map)
from mmseghead.utils.files import atomic_write
from mmseghead.visualization.embeddings import (draw_embeddings, draw_heat,
                                                radii_px)
from mmseghead.visualization.fields import color_wheel, draw_direction_field
from mmseghead.visualization.instances import draw_instances, join_panels
from .stages import replaced

_HEIGHT_PX = 512


def draw_spatial_embeddings(cfg: Config,
                            checkpoint: str,
                            image: str,
                            out: str,
                            device: str = 'cpu') -> Path:
    """Draw the maps of the paper's figures, and the masks, for one image.

    From left to right: the masks; the largest seed value of all classes; the
    radius that the bandwidth gives, where there is foreground; the offset's
    direction, full colour at the largest one; and every foreground pixel at
    its embedding, with the instances' ellipses. The median offset is left out
    of the last two. All but the masks are of the network's input.

    Args:
        cfg: Config of a model with ``SpatialEmbeddingHead``.
        checkpoint: Its weights.
        image: The picture.
        out: PNG to write.
        device: ``'cpu'`` or ``'cuda:0'``.

    Returns:
        The file written.

    Raises:
        FileNotFoundError: if the image is missing or unreadable.
        ValueError: if the model is of another kind.
    """
    picture = cv2.imread(image, cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f'{image} is missing or no image.')
    model = init_detector(cfg, checkpoint, device=device)
    head = getattr(model, 'mask_head', None)
    if not hasattr(head, 'clustering'):
        raise ValueError('draw_spatial_embeddings needs a model with a '
                         'SpatialEmbeddingHead, got '
                         f'{type(head).__name__} of {cfg.filename}.')
    with replaced(head, 'clustering', _Remembering):
        found = inference_detector(model, image).pred_instances.cpu()
        maps, clusters = head.clustering.seen
    foreground_thr = head.clustering.foreground_thr
    panels = [(f'{len(found)} instances',
               draw_instances(picture, found.masks.numpy()))]
    panels += _map_panels(maps, clusters, foreground_thr)
    titles, pictures = zip(*panels)
    same = [
        cv2.resize(
            panel, (round(panel.shape[1] * _HEIGHT_PX / panel.shape[0]),
                    _HEIGHT_PX),
            interpolation=cv2.INTER_NEAREST) for panel in pictures
    ]
    _, encoded = cv2.imencode('.png', join_panels(same, titles))
    path = Path(out)
    with atomic_write(path, 'wb') as file:
        file.write(encoded.tobytes())
    return path


class _Remembering:
    """A clustering that keeps what it was given and what it returned last."""

    def __init__(self, clustering: EmbeddingClustering) -> None:
        self.clustering = clustering
        self.seen = None

    def __call__(self, *maps: Tensor) -> Clusters:
        clusters = self.clustering(*maps)
        self.seen = maps, clusters
        return clusters

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clustering, name)


def _map_panels(maps: Tuple[Tensor, Tensor, Tensor], clusters: Clusters,
                foreground_thr: float) -> List[Tuple[str, np.ndarray]]:
    """Return title and picture of each map of the network."""
    embeddings, raw, seeds = (part.cpu() for part in maps)
    height, width = seeds.shape[1:]
    best = seeds.amax(0).numpy()
    foreground = best > foreground_thr
    weights = bandwidth_weights(raw.permute(1, 2, 0)).permute(2, 0, 1)
    radii = np.sqrt(radii_px(weights.numpy()).prod(0)) * foreground
    radius = max(float(np.percentile(radii[foreground], 99)),
                 1.) if foreground.any() else 1.
    offsets = (embeddings - coordinate_map(height, width)).numpy()
    # What all offsets have in common means nothing to the clustering, and a
    # learned centre leaves it open.
    shared = np.median(offsets[:, foreground], 1) if foreground.any() else \
        np.zeros(2)
    offsets = offsets - shared[:, None, None]
    lengths = np.hypot(*offsets)[foreground]
    reach = max(float(lengths.max()), 1e-3) if len(lengths) else 1e-3
    field = draw_direction_field(offsets, foreground.astype(float), reach)
    key = color_wheel(max(min(height, width) // 8, 8))
    field[:len(key), :len(key)] = key
    cloud = draw_embeddings(embeddings.numpy() - shared[:, None, None],
                            clusters.id_map(height, width).cpu().numpy(),
                            foreground,
                            clusters.centers.cpu().numpy() - shared,
                            clusters.weights.cpu().numpy())
    return [('seed map', draw_heat(best)),
            (f'radius, yellow is {radius:.0f} px', draw_heat(radii, radius)),
            ('offset', field), ('embeddings and Gaussians', cloud)]
