"""Train a model: ``mim train mmseghead CONFIG`` or this file by itself."""
import argparse
import os


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder of logs, checkpoints and run record')
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint, or from the latest in the work '
        'folder if none is named')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='overrides of the config, such as optim_wrapper.optimizer.lr=0.1')
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
    if args.amp:
        apis.enable_amp(cfg)
    if args.auto_scale_lr:
        apis.enable_auto_scale_lr(cfg)
    apis.set_resume(cfg, args.resume)
    apis.train(cfg)


if __name__ == '__main__':
    main()
