"""What checks find: errors that stop, warnings, and facts."""
from typing import Iterable, List, NamedTuple

SEVERITIES = ('error', 'warning', 'info')


class Finding(NamedTuple):
    """One result of a check.

    ``severity`` is one of ``SEVERITIES``, ``part`` says what was looked at
    (such as ``'train data'``), ``message`` what was found and what to do.
    """

    severity: str
    part: str
    message: str


def has_errors(findings: Iterable[Finding]) -> bool:
    """Return whether any finding stops a run."""
    return any(finding.severity == 'error' for finding in findings)


def describe_findings(findings: Iterable[Finding]) -> str:
    """Return the findings as text, errors last, where a reader looks first."""
    lines: List[str] = []
    for severity in reversed(SEVERITIES):
        for found in findings:
            if found.severity == severity:
                message = found.message.replace('\n', '\n    ')
                lines.append(f'{severity:7s} {found.part}: {message}')
    return '\n'.join(lines)
