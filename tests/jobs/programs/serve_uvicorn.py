"""uvicorn started from a program, as many do: `uvicorn.run`."""

from __future__ import annotations

import sys

import uvicorn

if __name__ == "__main__":
    uvicorn.run("tests.jobs.programs.fastapi_app:app", port=int(sys.argv[1]), log_level="warning")
