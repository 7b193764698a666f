"""Train, test and publish the quick model of every method: make gallery.

Does what run records and metafiles lack, and nothing twice. Stopped by the
budget, by Ctrl-C or by a crash, it goes on where it was. See
docs/gallery/README.md.
"""
import argparse
import os
import signal
import sys


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--budget', type=float, metavar='MINUTES',
                        help='stop after that time; what was begun is '
                        'resumed by the next run')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'),
                        default='auto', help='auto takes a GPU if there is '
                        'one')
    parser.add_argument('--methods', nargs='*', default=[],
                        help='only these, such as solo yolact')
    parser.add_argument('--datasets', nargs='*', default=[],
                        help='only these of shapes and nuclei')
    parser.add_argument('--seeds', nargs='+', default=['auto'],
                        help='of every model; "auto" is 0, and 1 for models '
                        'whose order the text of the page states')
    parser.add_argument('--threads', type=int, default=2,
                        help='of PyTorch when latencies are measured on CPU')
    parser.add_argument('--steps', nargs='*', default=[],
                        choices=('train', 'cost', 'latency', 'classes'),
                        help='only these, such as latency')
    parser.add_argument('--dry-run', action='store_true',
                        help='list what is missing, and why')
    parser.add_argument('--pages-only', action='store_true',
                        help='draw pictures, and renew tables and page from '
                        'what there is')
    args = parser.parse_args()
    args.auto = args.seeds == ['auto']
    try:
        args.seeds = [0] if args.auto else [int(x) for x in args.seeds]
    except ValueError:
        parser.error(f'--seeds takes "auto" or numbers, got {args.seeds}')
    return args


def interrupt(*_: object) -> None:
    """End on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    args = parse_args()
    if args.device == 'cpu':
        # mmengine looks for a GPU when it is imported: hide it before.
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    from mmengine.device import is_cuda_available

    from mmseghead.apis import check_device
    from mmseghead.apis.gallery_page import wanted_seeds
    from mmseghead.apis.gallery_plan import (Wanted, latency_hardware,
                                             make_plan, to_text)
    from mmseghead.apis.gallery_run import (GalleryRun, RunOptions,
                                            complete_gallery)
    from mmseghead.apis.model_index import find_root, load_index
    check_device(args.device)
    device = 'cuda' if is_cuda_available() else 'cpu'
    root = find_root()
    second = wanted_seeds(root) if args.auto else []
    wanted = Wanted(args.methods, args.datasets, args.seeds, second,
                    latency_hardware(device, args.threads), args.steps)
    options = RunOptions(args.budget, device, args.threads)
    if args.pages_only:
        GalleryRun(root, options).write_pages(wanted)
        return 0
    print(to_text(make_plan(load_index(root), wanted)), flush=True)
    if args.dry_run:
        return 0
    run = complete_gallery(root, wanted, options, args.auto)
    for step, reason in run.failures.items():
        print(f'FAILED: {step}: {reason}', file=sys.stderr)
    return 1 if run.failures else 0


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('stopped; run again to go on')
    except ValueError as error:
        sys.exit(str(error))
