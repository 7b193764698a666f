"""Draw predictions beside ground truth, from COCO results."""
import argparse

from mmseghead import apis


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config whose test set is drawn')
    parser.add_argument('predictions', help='COCO results, *.segm.json')
    parser.add_argument('--out', required=True, help='folder of the pictures')
    parser.add_argument('--num', type=int, help='draw that many images')
    parser.add_argument('--score-thr', type=float, default=0.3)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    written = apis.draw_predictions(
        apis.load_config(args.config),
        args.predictions,
        args.out,
        num=args.num,
        score_thr=args.score_thr)
    print(f'{len(written)} pictures in {args.out}')


if __name__ == '__main__':
    main()
