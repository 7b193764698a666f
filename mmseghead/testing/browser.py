"""A headless Chromium for tests of pages, driven through a pipe."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Tuple, Type

BROWSER_ENV = 'MMSEGHEAD_BROWSER'
_NAMES = ('chromium', 'chromium-browser', 'google-chrome',
          'google-chrome-stable', 'chrome')
_FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
          '--disable-dev-shm-usage', '--no-first-run', '--hide-scrollbars',
          '--disable-background-networking', '--disable-component-update',
          '--disable-sync', '--disable-extensions', '--remote-debugging-pipe')


def find_browser() -> Optional[str]:
    """Return a Chromium's path: that of ``MMSEGHEAD_BROWSER``, or one of the
    usual names in PATH; None if there is none."""
    named = os.environ.get(BROWSER_ENV)
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """A Chromium of its own profile, with one page; a context manager.

    It talks the DevTools protocol over a pipe, JSON ended by zero bytes:
    nothing listens on a port, and nothing but Python is needed.

    Args:
        path: The program.
        timeout_s: Of every command.

    Attributes:
        requests: URLs that the page asked for since :meth:`open`.
    """

    def __init__(self, path: str, timeout_s: float = 60) -> None:
        self._path, self._timeout_s = path, timeout_s
        self.requests: List[str] = []
        self._events: List[Dict[str, Any]] = []
        self._buffer = b''
        self._number = 0
        self._session: Optional[str] = None

    def __enter__(self) -> 'Browser':
        self._profile = tempfile.TemporaryDirectory(
            prefix='browser-', ignore_cleanup_errors=True)
        from_us, self._out = os.pipe()
        self._in, to_us = os.pipe()
        # It reads descriptor 3 and writes 4. Both are copied out of the way
        # first, should the pipes bear these very numbers.
        shell = 'exec 8<&{0} 9>&{1} 3<&8 4>&9 "$@"'.format(from_us, to_us)
        self._process = subprocess.Popen(
            ['bash', '-c', shell, 'browser', self._path, *_FLAGS,
             f'--user-data-dir={self._profile.name}', 'about:blank'],
            pass_fds=(from_us, to_us), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        try:
            target = self._page()
            self._session = self.call(
                'Target.attachToTarget', targetId=target,
                flatten=True)['sessionId']
            self.call('Page.enable')
            self.call('Network.enable')
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: Optional[Type[BaseException]],
                 error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def _page(self) -> str:
        end = time.monotonic() + self._timeout_s
        while time.monotonic() < end:
            for target in self.call('Target.getTargets')['targetInfos']:
                if target['type'] == 'page':
                    return target['targetId']
            time.sleep(0.1)
        raise TimeoutError(f'{self._path} opened no page.')

    def call(self, method: str, **parameters: Any) -> Dict[str, Any]:
        """Send a command of the DevTools protocol and return its result.

        Args:
            method: Such as ``Page.navigate``.
            **parameters: Of the command.

        Raises:
            RuntimeError: if the browser refuses it, or has ended.
            TimeoutError: if it does not answer.
        """
        self._number += 1
        message = dict(id=self._number, method=method, params=parameters)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == self._number:
                break
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]}')
        return answer['result']

    def _read(self) -> Dict[str, Any]:
        """Return the next message, and book what the page asks for."""
        end = time.monotonic() + self._timeout_s
        while b'\0' not in self._buffer:
            ready, _, _ = select.select(
                [self._in], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError(f'{self._path} does not answer.')
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError(f'{self._path} ended.')
            self._buffer += part
        text, self._buffer = self._buffer.split(b'\0', 1)
        message = json.loads(text)
        if message.get('method') == 'Network.requestWillBeSent':
            self.requests.append(message['params']['request']['url'])
        if message.get('method') == 'Page.loadEventFired':
            self._events.append(message)
        return message

    def open(self, page: Path, size: Tuple[int, int] = (1280, 900),
             scheme: str = 'light') -> None:
        """Open a file and wait until it is there.

        Args:
            page: A local file.
            size: Width and height of the window in CSS pixels. Below 600 the
                page is told that it is on a phone.
            scheme: ``'light'`` or ``'dark'``, which the page may ask for.
        """
        phone = size[0] < 600
        self.call('Emulation.setDeviceMetricsOverride', width=size[0],
                  height=size[1], deviceScaleFactor=1, mobile=phone)
        self.call('Emulation.setEmulatedMedia', features=[
            dict(name='prefers-color-scheme', value=scheme)])
        self.requests.clear()
        self._events.clear()
        self.call('Page.navigate', url=Path(page).resolve().as_uri())
        while not self._events:
            self._read()

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited.

        Raises:
            RuntimeError: if it throws.
        """
        answer = self.call('Runtime.evaluate', expression=script,
                           returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in answer:
            raise RuntimeError(str(answer['exceptionDetails']))
        return answer['result'].get('value')

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the window, or of the whole page."""
        data = self.call('Page.captureScreenshot', format='png',
                         captureBeyondViewport=whole)['data']
        Path(path).write_bytes(base64.b64decode(data))
