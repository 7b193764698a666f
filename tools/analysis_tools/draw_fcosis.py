"""Draw what FCOSIS sees: cues, attention maps and masks of one image."""
import argparse

from mmseghead import apis


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config of a FCOSIS model')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('image', help='picture to look at')
    parser.add_argument('--out', required=True, help='PNG to write')
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    path = apis.draw_fcosis(
        apis.load_config(args.config),
        args.checkpoint,
        args.image,
        args.out,
        score_thr=args.score_thr,
        device=args.device)
    print(path)


if __name__ == '__main__':
    main()
