"""The picture of the demo on the front page says what the demo prints today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"


def words(svg: str) -> str:
    """What the picture says, without what differs from run to run."""
    return re.sub(r"[\d.]+", "0", re.findall(r"<desc>(.*?)</desc>", svg, re.DOTALL)[0])


@pytest.mark.ci
@pytest.mark.skipif(sys.version_info < (3, 10), reason="docs/ is built on a current Python")
def test_the_picture_of_the_demo_is_of_the_demo_of_today(tmp_path: Path) -> None:
    for name in ("draw.py", "terminal.py"):
        script = (PICTURES / name).read_text(encoding="utf-8").replace("HERE.parents[1]", repr(str(ROOT)))
        (tmp_path / name).write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, str(tmp_path / "terminal.py")], check=True, cwd=tmp_path)
    fresh, kept = (folder / "demo.svg" for folder in (tmp_path, PICTURES))
    assert words(fresh.read_text(encoding="utf-8")) == words(kept.read_text(encoding="utf-8")), (
        "run python docs/pictures/terminal.py"
    )
