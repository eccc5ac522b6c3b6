"""``aries-auth sandbox``: a local Aries for a person to try things on."""

from __future__ import annotations

import sys
from typing import Mapping, Sequence

import click

from aries_auth.cli.console import Failure, put, say
from aries_auth.cli.options import examples, show_trouble, verbose_option

_PORT = 8764
_REDIRECT_URI = "http://127.0.0.1:8765/callback"
_PROFILE = "sandbox"


def _checked_host(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    from aries_auth.token_endpoint.addresses import is_loopback  # noqa: PLC0415

    if not is_loopback(value):
        raise click.BadParameter("it must be a loopback address, such as 127.0.0.1, ::1 or localhost.")
    return value


@click.command(
    epilog=examples("aries-auth sandbox", "aries-auth sandbox --port 0 --access-token-lifetime 60")
    + examples(
        "aries-auth login --scope user:information",
        'echo "Authorization: Bearer $(aries-auth token)" | curl -H @- "$ARIES_API_ORIGINS/v1/users/me"',
        title="Then paste the lines that it printed into another terminal, and try there",
    ),
)
@verbose_option
@click.option("--host", default="127.0.0.1", show_default=True, callback=_checked_host, help="A loopback address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="Where to listen; 0: a free one."
)
@click.option(
    "--redirect-uri",
    "redirect_uris",
    multiple=True,
    default=[_REDIRECT_URI],
    show_default=True,
    metavar="URI",
    help="What is registered for its client; repeatable.",
)
@click.option(
    "--access-token-lifetime",
    type=click.FloatRange(min=0, min_open=True, max=1e9),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long its access tokens live.",
)
@click.option("--require-pkce", is_flag=True, help="Refuse a login without PKCE.")
@click.option(
    "--shell",
    is_flag=False,
    flag_value="all",
    type=click.Choice(["posix", "powershell", "cmd", "all"]),
    help="Whose lines to print; without a name, all three.  [default: the shell that this runs in]",
)
def sandbox(
    host: str,
    port: int,
    redirect_uris: Sequence[str],
    access_token_lifetime: float,
    shell: str | None,
    *,
    require_pkce: bool,
) -> None:
    """Run a local Aries until Ctrl-C: consent page, token endpoint and a few routes of the API.

    Prints the variables that point aries-auth and programs that use it there, as lines for your shell. They name a
    profile of their own, so that your real login stays as it is.
    """
    show_trouble()
    from aries_auth.testing import AriesSandbox  # noqa: PLC0415

    aries = AriesSandbox(
        redirect_uris=redirect_uris,
        access_token_lifetime=access_token_lifetime,
        require_pkce=require_pkce,
        host=host,
        port=port,
    )
    try:
        aries.start()
    except OSError as exc:
        raise Failure(f"can't listen on port {port} of {host}: {exc.strerror or exc}. Give another --port.") from exc
    try:
        put(_lines({**aries.environ, "ARIES_PROFILE": _PROFILE}, shell))
        sys.stdout.flush()
        say(f"the sandbox listens at {aries.url}; Ctrl-C ends it")
        aries.wait()
    except KeyboardInterrupt:
        say("the sandbox has ended")
    finally:
        aries.stop()


def _lines(variables: Mapping[str, str], shell: str | None) -> str:
    from aries_auth.settings.shell import SHELLS, assignment, current_shell  # noqa: PLC0415

    shells = SHELLS if shell == "all" else [shell or current_shell()]
    blocks = ["\n".join(assignment(each, name, value) for name, value in variables.items()) for each in shells]
    if len(blocks) == 1:
        return blocks[0]
    return "\n\n".join(f"{'rem' if each == 'cmd' else '#'} {each}\n{block}" for each, block in zip(shells, blocks))
