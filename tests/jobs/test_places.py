"""Where a token file can't be replaced, or kept from others, and where there is no home: refused before it is spent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest

from aries_auth import FileTokenStore

from .conftest import Job, Jobs, Start, needs

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's own means")
ROOT_ALONE = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can mount, and make a file immutable"
)
pytestmark = [LINUX]


def use(
    jobs: Jobs, start: Start, job: Job, *arguments: str, under: Sequence[str] = (), **variables: str
) -> dict[str, Any]:
    """What a process that uses the store of a job says. `under` goes before its command."""
    command = [*under, sys.executable, "-m", "tests.jobs.programs.store", *arguments]
    process = start(command, jobs.environment([job], **variables))
    assert process.wait() == 0, process.said
    said: dict[str, Any] = json.loads(process.said.splitlines()[-1])
    return said


def mounted(script: str) -> list[str]:
    """What puts a command into a mount namespace of its own, after a script."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-ec", f'{script}\n"$@"', "sh"]


def expect_refusal(said: dict[str, Any], job: Job, cure: str) -> None:
    assert said["error"] == "StoreError", said
    assert str(job.store) in said["message"]
    assert cure in said["message"].lower()
    assert job.aries.token_requests == ()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs a tmpfs at /dev/shm")
    folder = Path("/dev/shm") / f"aries-{os.urandom(4).hex()}"
    folder.mkdir(0o700)
    yield folder
    shutil.rmtree(folder)


@ROOT_ALONE
@needs("/unshare", "/mount")
class TestAMountPoint:
    """`docker -v ./token.json:/app/token.json`, a subPath in Kubernetes: a rename over it is EBUSY."""

    @pytest.fixture(params=["within a file system", "across file systems"])
    def bound(self, request: pytest.FixtureRequest, jobs: Jobs, tmp_path: Path) -> tuple[Job, list[str]]:
        (job,) = jobs.make(1, 0.02)
        across = request.param == "across file systems"
        host = request.getfixturevalue("elsewhere") if across else tmp_path / "host"
        host.mkdir(0o700, exist_ok=True)
        outside = host / "token.json"
        shutil.copyfile(job.store, outside)
        outside.chmod(0o600)
        return job, mounted(f"mount --bind {outside} {job.store}")

    @pytest.mark.parametrize("way", ["refresh", "login"])
    def test_is_refused_before_anything_is_spent(
        self, jobs: Jobs, start: Start, bound: tuple[Job, list[str]], way: str
    ) -> None:
        job, under = bound
        expect_refusal(use(jobs, start, job, way, under=under), job, "folder")
        assert not job.lost

    def test_serves_the_token_while_it_lives(self, jobs: Jobs, start: Start, bound: tuple[Job, list[str]]) -> None:
        job, under = bound
        assert use(jobs, start, job, "call", under=under)["error"] is None
        assert job.aries.token_requests == ()

    def test_is_no_trouble_where_the_folder_is_mounted(self, jobs: Jobs, start: Start, tmp_path: Path) -> None:
        """The cure that the error names."""
        (job,) = jobs.make(1, 0.02)
        outside = tmp_path / "host"
        shutil.copytree(job.store.parent, outside)
        under = mounted(f"mount --bind {outside} {job.store.parent}")
        assert use(jobs, start, job, "refresh", under=under)["error"] is None
        assert FileTokenStore(outside / "token.json").load() != job.first
        assert len(job.aries.token_requests) == 1


@ROOT_ALONE
@needs("/chattr")
@pytest.mark.parametrize("way", ["refresh", "login"])
def test_an_immutable_file_is_refused_before_anything_is_spent(jobs: Jobs, start: Start, way: str) -> None:
    (job,) = jobs.make(1, 0.02)
    if subprocess.run(["chattr", "+i", str(job.store)], check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        expect_refusal(use(jobs, start, job, way), job, "chattr")
    finally:
        subprocess.run(["chattr", "-i", str(job.store)], check=True)
    assert not job.lost


@ROOT_ALONE
@needs("/unshare", "/losetup", "/mkfs.exfat", "/mount.exfat-fuse")
class TestAFileSystemWithoutPermissions:
    """A real exFAT; WSL's drives, SMB and rclone are like it: every file is open to everybody, whatever is asked."""

    @pytest.fixture
    def exfat(self, jobs: Jobs, tmp_path: Path) -> Iterator[tuple[Job, list[str]]]:
        (job,) = jobs.make(1, 0.02)
        image, keep = tmp_path / "image", tmp_path / "kept.json"
        with image.open("wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
        loop = subprocess.run(["losetup", "-f", "--show", str(image)], check=False, capture_output=True, text=True)
        if loop.returncode:
            pytest.skip(f"no loop device: {loop.stderr}")
        folder, device = job.store.parent, loop.stdout.strip()
        shutil.copyfile(job.store, keep)
        for file in folder.iterdir():
            file.unlink()
        script = f"""
            mount.exfat-fuse {device} {folder} >/dev/null 2>&1
            trap 'cd /; umount {folder} || true' EXIT
            [ "$STORED" = no ] || cp {keep} {folder}/token.json
        """
        yield job, mounted(script)
        subprocess.run(["losetup", "-d", device], check=False)

    def test_is_refused_before_a_code_is_spent(self, jobs: Jobs, start: Start, exfat: tuple[Job, list[str]]) -> None:
        job, under = exfat
        said = use(jobs, start, job, "login", under=under, STORED="no")
        expect_refusal(said, job, "mode=")
        assert "$ARIES_TOKEN_FILE_MODE" in said["message"]

    def test_is_refused_before_a_refresh_token_is_spent(
        self, jobs: Jobs, start: Start, exfat: tuple[Job, list[str]]
    ) -> None:
        job, under = exfat
        said = use(jobs, start, job, "refresh", under=under)
        expect_refusal(said, job, "mode=")
        assert "$ARIES_TOKEN_FILE_MODE" in said["message"]

    @pytest.mark.parametrize("way", ["refresh", "login"])
    def test_is_used_with_a_mode_of_its_own(
        self, jobs: Jobs, start: Start, exfat: tuple[Job, list[str]], way: str
    ) -> None:
        job, under = exfat
        assert use(jobs, start, job, way, "0777", under=under)["error"] is None
        assert len(job.aries.token_requests) == 1

    @pytest.mark.parametrize("way", ["refresh", "login"])
    def test_is_used_with_the_variable(self, jobs: Jobs, start: Start, exfat: tuple[Job, list[str]], way: str) -> None:
        job, under = exfat
        said = use(jobs, start, job, way, under=under, ARIES_TOKEN_FILE_MODE="0777")
        assert said["error"] is None, said
        assert len(job.aries.token_requests) == 1


@ROOT_ALONE
@needs("/setpriv")
class TestNoHome:
    """A uid without an entry in the list of users, and an empty environment. It may read where Python is."""

    NOBODY = (
        "setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups",
        "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search",
    )  # fmt: skip

    @pytest.fixture
    def theirs(self, jobs: Jobs, tmp_path: Path) -> Job:
        (job,) = jobs.make(1, 0.02)
        for path in (job.store.parent, *job.store.parent.iterdir()):
            os.chown(path, 12345, 12345)
        self.here = tmp_path / "empty"
        self.here.mkdir()
        os.chown(self.here, 12345, 12345)
        return job

    def use(self, jobs: Jobs, start: Start, job: Job, way: str, **variables: str) -> dict[str, Any]:
        """`env` in the place of the environment, and an empty folder to work in."""
        needed = jobs.environment([job], **variables)
        needed.pop("HOME", None)
        told = [f"{name}={value}" for name, value in needed.items()]
        chdir = ["sh", "-c", f'cd {self.here} && exec "$@"', "sh"]
        said = use(jobs, start, job, way, under=[*self.NOBODY, "env", "-i", *told, *chdir])
        for path in (job.store.parent, *job.store.parent.iterdir()):
            os.chown(path, os.geteuid(), os.getegid())  # a store refuses what belongs to somebody else
        return said

    def test_an_explicit_store_works(self, jobs: Jobs, start: Start, theirs: Job) -> None:
        said = self.use(jobs, start, theirs, "refresh")
        assert said == {"error": None, "message": "", "here": []}
        assert theirs.refreshed

    def test_the_variable_of_the_token_file_works(self, jobs: Jobs, start: Start, theirs: Job) -> None:
        said = self.use(jobs, start, theirs, "default", ARIES_TOKEN_FILE=str(theirs.store))
        assert said == {"error": None, "message": "", "here": []}
        assert theirs.refreshed

    def test_the_default_store_is_an_error_that_names_the_variable(self, jobs: Jobs, start: Start, theirs: Job) -> None:
        """And no folder called `~` is made in the working directory."""
        said = self.use(jobs, start, theirs, "default")
        assert said["error"] == "ConfigurationError", said
        assert "$ARIES_TOKEN_FILE" in said["message"]
        assert said["here"] == []
        assert theirs.aries.token_requests == ()
