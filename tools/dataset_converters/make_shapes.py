"""Write the embedded shapes data set (half a minute for 750 pictures)."""
import argparse
import time

from tqdm import tqdm

from mmseghead.datasets.shapes_generator import generate_shapes


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--out-dir', default='data/shapes', help='folder of the data set')
    parser.add_argument('--num-train', type=int, default=600)
    parser.add_argument('--num-val', type=int, default=150)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--image-size', type=int, default=256, help='height and width, px')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.perf_counter()
    with tqdm(
            total=args.num_train + args.num_val, unit='image',
            desc='shapes') as bar:
        written = generate_shapes(
            args.out_dir,
            num_train=args.num_train,
            num_val=args.num_val,
            seed=args.seed,
            image_size=args.image_size,
            progress=lambda done, total: bar.update())
    seconds = time.perf_counter() - start
    if written:
        print(f'Wrote {args.out_dir} in {seconds:.1f} s.')
    else:
        print(f'Kept {args.out_dir}: it holds this data set already.')


if __name__ == '__main__':
    main()
