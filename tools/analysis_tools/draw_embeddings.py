"""Draw what Spatial Embeddings see: seeds, bandwidths and embeddings."""
import argparse

from mmseghead import apis


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config with a SpatialEmbeddingHead')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('image', help='picture to look at')
    parser.add_argument('--out', required=True, help='PNG to write')
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    path = apis.draw_spatial_embeddings(
        apis.load_config(args.config),
        args.checkpoint,
        args.image,
        args.out,
        device=args.device)
    print(path)


if __name__ == '__main__':
    main()
