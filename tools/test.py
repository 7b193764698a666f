"""Evaluate a model: ``mim test mmseghead CONFIG --checkpoint FILE``."""
import argparse
import os


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='weights: file, URL or zoo name')
    parser.add_argument('--work-dir', help='folder of logs and run record')
    parser.add_argument('--out', help='dump all predictions to this .pkl file')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in windows')
    parser.add_argument(
        '--show-dir', help='save predictions beside ground truth here')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds per window')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='overrides of the config, such as test_dataloader.batch_size=4')
    parser.add_argument(
        '--device',
        choices=('auto', 'cpu', 'cuda'),
        default='auto',
        help='processor; auto takes a GPU if there is one')
    parser.add_argument(
        '--gpus',
        type=int,
        help='0 for the CPU; for more than one use --launcher')
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='job launcher')
    # torch.distributed.launch passes the dashed spelling.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    if args.launcher == 'none' and (args.gpus or 0) > 1:
        parser.error(f'--gpus {args.gpus} needs --launcher pytorch')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    if args.device == 'cpu' or args.gpus == 0:
        # mmengine looks for a GPU when it is imported: hide it before.
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    from mmseghead import apis
    apis.check_device(args.device)
    cfg = apis.load_config(
        args.config,
        work_dir=args.work_dir,
        cfg_options=apis.parse_options(args.cfg_options),
        launcher=args.launcher)
    apis.set_outputs(
        cfg,
        out=args.out,
        show=args.show,
        show_dir=args.show_dir,
        wait_time=args.wait_time)
    if args.tta:
        apis.enable_tta(cfg)
    apis.test(cfg, args.checkpoint)


if __name__ == '__main__':
    main()
