"""Tables of text."""
from typing import Sequence


def to_text(table: Sequence[Sequence[str]]) -> str:
    """Return an aligned table for the terminal.

    Args:
        table: Head and body, of one length each; the first column is
            aligned to the left, numbers to the right.
    """
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        cells[0] = row[0].ljust(widths[0])
        lines.append('  '.join(cells).rstrip())
    lines.insert(1, '  '.join('-' * width for width in widths))
    return '\n'.join(lines)


def to_markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table.

    Args:
        table: As for :func:`to_text`.
    """
    head, *body = table
    rule = ['---'] + ['---:'] * (len(head) - 1)
    escaped = [[cell.replace('|', '\\|').replace('*', '\\*') for cell in row]
               for row in (head, rule, *body)]
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in escaped)
