"""waitress as its documentation starts it; SIGTERM ends the process unless the program has a handler."""

from __future__ import annotations

import signal
import sys

from waitress import serve

from tests.jobs.programs.wsgi import app

if sys.argv[2:] == ["with a handler"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what the page of jobs shows
serve(app, listen=f"127.0.0.1:{sys.argv[1]}", threads=4)
