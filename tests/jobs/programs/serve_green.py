"""A server of greenlets: `python -m tests.jobs.programs.serve_green LIBRARY WHEN PORT`.

WHEN is "first" (patched before everything else, as the libraries ask for) or "late" (after the package's import).
"""

from __future__ import annotations

import os
import sys

library, when, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


def patch() -> None:
    if library == "gevent":
        from gevent import monkey

        monkey.patch_all()
    else:
        # Its DNS imports dnspython, which imports httpcore2 and trio where they are, and trio has no green sockets.
        os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
        import eventlet

        eventlet.monkey_patch()


if when == "first":
    patch()

from tests.jobs.programs.wsgi import app  # noqa: E402

if when == "late":
    import aries_auth.auth  # noqa: F401 - the names of the package are loaded when they are used

    patch()

if library == "gevent":
    from gevent import signal_handler
    from gevent.pywsgi import WSGIServer

    server = WSGIServer(("127.0.0.1", port), app, log=None)
    signal_handler(15, server.stop)
    server.serve_forever()
else:
    import eventlet
    import eventlet.wsgi

    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log_output=False)
