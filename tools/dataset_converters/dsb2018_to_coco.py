"""Convert stage1_train of the 2018 Data Science Bowl to data/nuclei."""
import argparse

from tqdm import tqdm

from mmseghead.datasets.converters import convert_dsb2018


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='the unpacked stage1_train')
    parser.add_argument(
        '--out-dir', default='data/nuclei', help='a new or empty folder')
    parser.add_argument(
        '--val-percent',
        type=int,
        default=25,
        help='share of images to validate on; a hash of the id decides')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with tqdm(unit='image', desc='nuclei') as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = convert_dsb2018(args.source, args.out_dir, args.val_percent,
                                 show)
    for split, images in report.images.items():
        print(f'{split}: {images} images, {report.instances[split]} nuclei')
    for file in report.empty_masks:
        print(f'left out, no pixel set: {file}')
    if report.overlaps:
        print(f'{len(report.overlaps)} images have overlapping masks, kept '
              'as they are:')
        for image_id, pixels in report.overlaps.items():
            print(f'  {image_id}: {pixels} px')


if __name__ == '__main__':
    main()
