"""Running a conversion from the command line."""
import sys
from argparse import ArgumentTypeError
from typing import Any, Callable, Tuple

from tqdm import tqdm

from .class_names import read_class_names
from .report import ConversionReport


def run_conversion(convert: Callable[..., ConversionReport], *args: Any,
                   **options: Any) -> ConversionReport:
    """Run a conversion with a progress bar and print its report.

    Args:
        convert: A function of this package that takes ``progress``.
        args: Its positional arguments.
        options: Its keyword arguments.

    Returns:
        The report.

    Raises:
        SystemExit: with the message alone, if files or arguments are at
            fault; a trace would say nothing more.
    """
    with tqdm(unit='image', leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            report = convert(*args, progress=show, **options)
        except (ValueError, OSError) as error:
            bar.close()
            sys.exit(f'error: {error}')
    print(report.summary())
    return report


def class_list(path: str) -> Tuple[str, ...]:
    """Read ``--classes FILE``: the ``type`` of such an argument.

    Args:
        path: A file of class names, one a line.

    Returns:
        The names.

    Raises:
        ArgumentTypeError: if it is missing, empty or repeats a name.
    """
    try:
        return read_class_names(path)
    except (ValueError, OSError) as error:
        raise ArgumentTypeError(error) from error
