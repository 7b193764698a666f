"""Latency per image (median, p90, p99), per stage, and peak memory."""
import argparse
import json
import sys
from pathlib import Path

from mmseghead.apis.benchmark import BenchmarkOptions, benchmark, write_latency
from mmseghead.apis.model_index import find_weights, load_index
from mmseghead.utils import atomic_write


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=Path)
    parser.add_argument('--checkpoint', help='weights; "published" looks them '
                        'up in the mirror folders; random by default')
    parser.add_argument('--images', type=int, default=50)
    parser.add_argument('--warmup', type=int, default=5)
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help='of PyTorch on the CPU')
    parser.add_argument('--dtype', default='float32',
                        choices=['float32', 'float16', 'bfloat16'])
    parser.add_argument('--out', type=Path, help='write the JSON here')
    parser.add_argument('--write', action='store_true',
                        help='put the median into the metafile')
    parser.add_argument('--root', type=Path,
                        help='folder of model_index.yml; found by default')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        options = BenchmarkOptions(args.images, args.warmup, args.batch_size,
                                   args.device, args.threads, args.dtype)
        checkpoint = args.checkpoint
        if checkpoint == 'published':
            checkpoint = find_weights(args.config.stem, args.root)
        result = benchmark(args.config, checkpoint, options)
        text = json.dumps(result, indent=1) + '\n'
        print(text, end='')
        if args.out is not None:
            with atomic_write(args.out) as file:
                file.write(text)
        if args.write:
            write_latency(load_index(args.root)[args.config.stem], result)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
