"""Predict for images, folders and videos, and draw or export the result."""
import argparse
import os
import sys


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint',
                        help='weights: file, URL, zoo name, or `published`')
    parser.add_argument('input', help='image, video, folder, or a pattern '
                        'such as "scans/**/*.png"')
    parser.add_argument('--out', required=True, help='folder for the results')
    parser.add_argument(
        '--save',
        nargs='+',
        choices=('picture', 'coco', 'labelme', 'png'),
        default=['picture', 'coco'],
        help='pictures and videos; COCO results; labelme files; 16-bit PNG '
        'files of instance numbers')
    parser.add_argument('--score-thr', type=float, default=0.3,
                        help='predictions below are left out')
    parser.add_argument('--tile', type=int, metavar='SIDE',
                        help='predict in tiles of this side, in pixels')
    parser.add_argument('--overlap', type=float, default=0.25,
                        help='share of a tile that the next one sees too')
    parser.add_argument('--tta', action='store_true',
                        help='test-time augmentation')
    parser.add_argument('--batch-size', type=int, default=1,
                        help='images or tiles at once')
    parser.add_argument('--device', default='auto',
                        help='auto, cpu, cuda, cuda:1, ...')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE',
                        help='overrides of the config')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.device == 'cpu':
        # mmengine looks for a GPU when it is imported: hide it before.
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    from mmengine.device import get_device

    from mmseghead import apis
    apis.check_device(args.device)
    cfg = apis.load_config(
        args.config, cfg_options=apis.parse_options(args.cfg_options))
    checkpoint = args.checkpoint
    if checkpoint == 'published':
        from mmseghead.apis.model_index import find_weights
        checkpoint = str(find_weights(os.path.basename(args.config)[:-3]))
    predictor = apis.Predictor(
        cfg,
        checkpoint,
        device=get_device() if args.device == 'auto' else args.device,
        tta=args.tta,
        tile=args.tile,
        overlap=args.overlap,
        score_thr=args.score_thr,
        batch_size=args.batch_size)
    report = apis.visualize(predictor, args.input, args.out, args.save)
    print(f'{report.instances} instances in {report.images} images: '
          f'{args.out}')
    for note in report.notes:
        print(f'note: {note}', file=sys.stderr)
    for failure in report.failures:
        print(f'failed: {failure.reason}', file=sys.stderr)
    return 1 if report.failures else 0


if __name__ == '__main__':
    sys.exit(main())
