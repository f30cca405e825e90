"""The command line: reads arguments, calls the rest, words every error, and gives the exit code.

Results go to stdout, everything else to stderr. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import errno
import io
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mailwatch import __version__, click_texts
from mailwatch.catalogue import LANGUAGES, Language, preferred, say, say_fault
from mailwatch.errors import Fault, MailwatchError, PassingError, UsageError

if TYPE_CHECKING:
    from mailwatch.config import Account, Config
    from mailwatch.mailbox import Server

_LOCALE: Language = preferred(os.environ)
_EXIT_NOT_WELL = 1
_OUTPUT_FAILED = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def _help(key: str) -> str:
    return say(f"help.{key}", _LOCALE)


class _Commands(click.Group):
    """Words our errors in the user's language, and keeps the order of the commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order in which a newcomer needs them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; one of our errors becomes its sentences and its exit code."""
        try:
            return super().invoke(ctx)
        except MailwatchError as fault:
            _complain(fault.faults, _language(ctx))
            ctx.exit(fault.exit_code)


@click.group(cls=_Commands, help=_help("main"), context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", metavar="PATH", help=_help("config"))
@click.version_option(__version__, prog_name="mailwatch", help=_help("version"))
@click.pass_context
def _mailwatch(ctx: click.Context, config_path: str | None) -> None:
    ctx.obj = config_path


def main() -> NoReturn:
    """The `mailwatch` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may hold bytes that no text has.
            stream.reconfigure(errors="backslashreplace")
    click_texts.speak(_LOCALE)
    try:
        _mailwatch.main(prog_name="mailwatch", standalone_mode=True)
    except OSError as fault:
        if fault.filename is None and fault.errno not in _OUTPUT_FAILED:
            raise
        _complain([_stray(fault)], _LOCALE)
    # What is still buffered would fail again at a normal end.
    os._exit(PassingError.exit_code)


def _stray(fault: OSError) -> Fault:
    """What no command foresaw: of a file it has a name, of the output it has none."""
    why = fault.strerror or type(fault).__name__
    if fault.filename is None:
        return Fault("scan.no_output", {"why": why})
    return Fault("scan.unusable", {"path": os.fsdecode(fault.filename), "why": why})


@_mailwatch.command(help=_help("demo"))
def demo() -> None:
    from mailwatch import demo as played

    sys.exit(played.play(_LOCALE))


@_mailwatch.command(help=_help("init"))
@click.option("--language", type=click.Choice(LANGUAGES), help=_help("init_language"))
@click.option("--folder", type=click.Path(path_type=Path), metavar="PATH", help=_help("init_folder"))
@click.option("--address", metavar="ADDRESS", help=_help("init_address"))
@click.option("--provider", metavar="NAME", help=_help("init_provider"))
@click.option("--host", metavar="HOST", help=_help("init_host"))
@click.option("--port", type=click.IntRange(1, 65535), metavar="PORT", help=_help("init_port"))
@click.option("--tls", type=click.Choice(["implicit", "off"]), help=_help("init_tls"))
@click.option("--user", metavar="NAME", help=_help("init_user"))
@click.option("--password-file", metavar="FILE", help=_help("init_password_file"))
@click.option("--channel", "channels", multiple=True, metavar="NAME[=FILE]", help=_help("init_channel"))
@click.option("--morning-line", metavar="TIME", help=_help("init_morning_line"))
@click.option("--quiet-hours", metavar="HOURS", help=_help("init_quiet_hours"))
@click.option("--done-folder", metavar="FOLDER", help=_help("init_done_folder"))
@click.option("--seller", metavar="NAME", help=_help("seller"))
@click.option("--force", is_flag=True, help=_help("init_force"))
@click.option("--send", is_flag=True, help=_help("init_send"))
@click.option("--no-input", is_flag=True, help=_help("init_no_input"))
@click.pass_context
def init(ctx: click.Context, /, folder: Path | None, channels: tuple[str, ...], **given: Any) -> None:
    from mailwatch import config, init_command

    named = ctx.find_root().obj or os.environ.get("MAILWATCH_CONFIG")
    target = folder / "config.toml" if folder else Path(named) if named else config.own_path(os.environ)
    flags = frozenset(name for name, value in given.items() if value is True)
    answers = {name: str(value) for name, value in given.items() if value is not None and not isinstance(value, bool)}
    if channels:
        answers["channel"] = "\n".join(channels)
    ctx.exit(init_command.run(target, answers, flags, server_of, _LOCALE))


@_mailwatch.command(help=_help("check"))
@click.option("--send", is_flag=True, help=_help("check_send"))
@click.pass_context
def check(ctx: click.Context, send: bool) -> None:
    from mailwatch import check as checking
    from mailwatch import transport
    from mailwatch.config import load

    path = _path(ctx)
    config = load(path, os.environ, is_usable=transport.is_usable)
    language = config.watch.language
    click.echo(
        say("check.config_good", language, path=path, accounts=len(config.accounts), channels=len(config.channels))
    )
    bad = 0
    for finding in checking.findings(config, server_of, send=send):
        click.echo(("  " if finding.is_good else "! ") + say_fault(finding.said, language))
        bad += not finding.is_good
    click.echo(say("check.some_bad", language, n=bad) if bad else _all_good(ctx, path, config))
    ctx.exit(_EXIT_NOT_WELL if bad else 0)


def _all_good(ctx: click.Context, path: Path, config: Config) -> str:
    """`run` is named only where none is at work, and never for the service's configuration: root must not start it."""
    from mailwatch import command, status
    from mailwatch.service import places

    language, named = config.watch.language, ctx.find_root().obj
    if path == places.CONFIG or status.is_running(config):
        return say("check.all_good", language)
    return say("check.all_good_start", language, command=command.short(*(["--config", named] if named else []), "run"))


@_mailwatch.command(help=_help("status"))
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.pass_context
def status(ctx: click.Context, is_json: bool) -> None:
    from datetime import UTC, datetime

    from mailwatch import status

    settings = _load_settings(ctx)
    state, why = status.look(settings, datetime.now(UTC))
    click.echo(
        json.dumps(status.as_json(state, why), ensure_ascii=False) if is_json else status.as_text(state, why, settings)
    )
    ctx.exit(_EXIT_NOT_WELL if why else 0)


@_mailwatch.command(help=_help("run"))
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help=say("service.help_log_format", _LOCALE)
)
@click.pass_context
def run(ctx: click.Context, log_format: str) -> None:
    from mailwatch import log
    from mailwatch import run as running

    if log_format == "json":
        log.as_json()
    try:
        running.run(lambda: _load(ctx)[1], server_of)
    except MailwatchError as fault:
        if log_format == "text":
            raise
        for each in fault.faults:
            log.not_started(say_fault(each, "en"))
        ctx.exit(fault.exit_code)


@_mailwatch.command("list", help=_help("list"))
@click.option("--all", "everything", is_flag=True, help=_help("all"))
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.pass_context
def list_requests(ctx: click.Context, everything: bool, is_json: bool) -> None:
    from datetime import UTC, datetime

    from mailwatch import requests_command as requests
    from mailwatch.texts import at

    config, now = _load_settings(ctx), datetime.now(UTC)
    language, zone = config.watch.language, config.watch.time_zone
    found = requests.listed(config, now, everything=everything)
    for request in found:
        click.echo(
            json.dumps(requests.as_json(request), ensure_ascii=False)
            if is_json
            else requests.as_line(request, language, zone)
        )
    if not found and not is_json:
        click.echo(say("requests.none_open", language, at=at(now, zone)))


@_mailwatch.command(help=_help("show"))
@click.argument("order_id", metavar="ORDER_ID")
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.pass_context
def show(ctx: click.Context, order_id: str, is_json: bool) -> None:
    from datetime import UTC, datetime

    from mailwatch import requests_command as requests

    config = _load_settings(ctx)
    found = requests.shown(config, order_id, datetime.now(UTC))
    as_text = requests.as_text(found, config.watch.language, config.watch.time_zone)
    click.echo(json.dumps(requests.as_json(found), ensure_ascii=False) if is_json else as_text)


def _set_state(name: str) -> None:
    """The commands that say what became of requests differ only in the state that they set."""

    @_mailwatch.command(name, help=_help(name))
    @click.argument("order_ids", nargs=-1, required=True, metavar="ORDER_ID…")
    @click.pass_context
    def command(ctx: click.Context, order_ids: tuple[str, ...]) -> None:
        from mailwatch import requests_command as requests
        from mailwatch.request import State

        states = {"done": State.DONE, "release": State.RELEASED, "reopen": State.OPEN}
        config = _load_to_change(ctx, (name, *order_ids))
        language = config.watch.language
        changed, unknown = requests.set_state(config, order_ids, states[name])
        for order in changed:
            click.echo(
                say("requests.set", language, order=order, state=say(f"requests.state_{states[name]}", language))
            )
        _complain(unknown, language)
        ctx.exit(_EXIT_NOT_WELL if unknown else 0)


for _name in ("done", "release", "reopen"):
    _set_state(_name)


def _reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say whose Authentication-Results count."""
    for made in (
        click.option("--received-by", multiple=True, metavar="HOST", help=_help("received_by")),
        click.option("--authserv-id", metavar="ID", help=_help("authserv_id")),
        click.option("--account", metavar="NAME", help=_help("account")),
    ):
        command = made(command)
    return command


@_mailwatch.command(help=_help("scan"))
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path))
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.option("--store", "store_dir", type=click.Path(path_type=Path), metavar="FOLDER", help=_help("store"))
@_reading_options
@click.option("--seller", metavar="NAME", help=_help("seller"))
@click.option("--rollout-start", metavar="DATE", help=_help("rollout_start"))
@click.option("--rollout-days", type=click.IntRange(0, 3650), metavar="DAYS", help=_help("rollout_days"))
@click.option("--merge-within", metavar="TIME", help=_help("merge_within"))
@click.pass_context
def scan(ctx: click.Context, /, paths: tuple[Path, ...], is_json: bool, store_dir: Path | None, **given: Any) -> None:
    from mailwatch import scan_command

    config = _load_if_there(ctx)
    settings = scan_command.settings(config, given)
    code = scan_command.run(list(paths), settings, store_dir, is_json, config.watch.language if config else _LOCALE)
    ctx.exit(code)


@_mailwatch.command(help=_help("explain"))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.option("--anonymise", is_flag=True, help=_help("anonymise"))
@_reading_options
@click.pass_context
def explain(ctx: click.Context, /, file: Path, is_json: bool, anonymise: bool, **given: Any) -> None:
    from mailwatch import anonymise as masking
    from mailwatch import explain as explaining
    from mailwatch import message, scan_command

    config = _load_if_there(ctx)
    use = scan_command.settings(config, given)
    mail = scan_command.read_file(file)
    if anonymise:
        sys.stdout.buffer.write(masking.copy(mail, use.templates))
        return
    parsed = message.parse(mail)
    if is_json:
        found = explaining.as_json(parsed, use.provider, use.templates, use.marketplace)
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        language = config.watch.language if config else _LOCALE
        click.echo(explaining.as_text(parsed, use.provider, use.templates, language))


@_mailwatch.group(help=say("service.help", _LOCALE))
def service() -> None:
    pass


@service.command("install", help=say("service.help_install", _LOCALE))
@click.option("--config", "given", metavar="PATH", help=say("service.help_config", _LOCALE))
@click.option(
    "--prefix", type=click.Path(path_type=Path), default="/opt/mailwatch", show_default=True, metavar="FOLDER",
    help=say("service.help_prefix", _LOCALE),
)  # fmt: skip
@click.option("--dry-run", "is_dry", is_flag=True, help=say("service.help_dry_run", _LOCALE))
@click.pass_context
def service_install(ctx: click.Context, given: str | None, prefix: Path, is_dry: bool) -> None:
    from mailwatch import service as services

    for sentence in services.install(given or ctx.find_root().obj, prefix, is_dry=is_dry):
        click.echo(say_fault(sentence, _LOCALE))
    if is_dry:
        click.echo(say("service.dry", _LOCALE))


@service.command("uninstall", help=say("service.help_uninstall", _LOCALE))
@click.option("--purge", "is_purge", is_flag=True, help=say("service.help_purge", _LOCALE))
@click.option("--yes", "is_yes", is_flag=True, help=say("service.help_yes", _LOCALE))
@click.option("--dry-run", "is_dry", is_flag=True, help=say("service.help_dry_run", _LOCALE))
def service_uninstall(is_purge: bool, is_yes: bool, is_dry: bool) -> None:
    from mailwatch import service as services

    def confirm(question: Fault) -> None:
        if not is_yes:
            _confirm_purge(question)

    for sentence in services.uninstall(is_purge=is_purge, is_dry=is_dry, confirm=confirm):
        click.echo(say_fault(sentence, _LOCALE))
    if is_dry:
        click.echo(say("service.dry", _LOCALE))


def _confirm_purge(question: Fault) -> None:
    """Ask for a yes. Raises `click.Abort` where the answer is another, `UsageError` where there is no terminal."""
    from mailwatch.init import questions

    if not _is_terminal():
        raise UsageError("service.purge_needs_yes")
    if not questions.is_yes(say_fault(question, _LOCALE), _LOCALE, default=False):
        raise click.Abort


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


@service.command("status", help=say("service.help_status", _LOCALE))
@click.pass_context
def service_status(ctx: click.Context) -> None:
    from mailwatch import service as services

    lines, is_well = services.look(ctx.find_root().obj, _LOCALE)
    for line in lines:
        click.echo(line)
    ctx.exit(0 if is_well else _EXIT_NOT_WELL)


@_mailwatch.group(help=_help("templates"))
def templates() -> None:
    pass


@templates.command("list", help=_help("templates_list"))
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.pass_context
def templates_list(ctx: click.Context, is_json: bool) -> None:
    from mailwatch import templates_command

    config = _load_if_there(ctx)
    templates_command.show(config, is_json, config.watch.language if config else _LOCALE)


@templates.command("test", help=_help("templates_test"))
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path))
@click.option("--json", "is_json", is_flag=True, help=_help("json"))
@click.pass_context
def templates_test(ctx: click.Context, paths: tuple[Path, ...], is_json: bool) -> None:
    from mailwatch import templates_command

    config = _load_if_there(ctx)
    templates_command.test(list(paths), config, is_json, config.watch.language if config else _LOCALE)


def server_of(account: Account) -> Server:
    """The IMAP server of an account, its password read now, one TLS context a process."""
    from mailwatch.mailbox import Server

    tls = None if account.is_plain else _tls(account.ca_file)
    return Server(account.host, account.port, tls, account.user, account.password(), account.preset)


_contexts: dict[Path | None, ssl.SSLContext] = {}


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """One context for all accounts with the same CA: each costs 23 ms and 888 KB (performance section 0)."""
    if ca_file not in _contexts:
        _contexts[ca_file] = ssl.create_default_context(cafile=ca_file)
    return _contexts[ca_file]


def _path(ctx: click.Context) -> Path:
    from mailwatch import config

    return config.find(ctx.find_root().obj, os.environ)


def _load(ctx: click.Context) -> tuple[Path, Config]:
    """For the commands that need one: where it is, and what it says, its passwords included."""
    from mailwatch import config

    path = _path(ctx)
    return path, config.load(path, os.environ)


def _load_settings(ctx: click.Context) -> Config:
    """For the commands that only read or mark the store: no password is needed."""
    from mailwatch import config

    return config.load(_path(ctx), os.environ, with_passwords=False)


def _load_to_change(ctx: click.Context, command: tuple[str, ...]) -> Config:
    """For the commands that mark the store. Raises `UsageError` with the command that works where we may not write it.

    Who is not in the service's group, or has not logged in again since, can't even read the service's configuration.
    """
    from mailwatch import requests_command as requests
    from mailwatch.service import places

    path = _path(ctx)
    if path == places.CONFIG and path.exists() and not os.access(path, os.R_OK):
        requests.check_owner(places.STATE, path, command)
    config = _load_settings(ctx)
    requests.check_owner(config.watch.state_dir, path, command)
    return config


def _load_if_there(ctx: click.Context) -> Config | None:
    """For `scan`: a configuration that was named must be good; one that is only found may be absent."""
    from mailwatch import config

    path = _path(ctx)
    is_named = bool(ctx.find_root().obj or os.environ.get("MAILWATCH_CONFIG"))
    return config.load(path, os.environ, with_passwords=False) if is_named or config.is_there(path) else None


def _language(ctx: click.Context) -> Language:
    from mailwatch import config

    return config.language_of(_path(ctx), os.environ)


def _complain(faults: Iterable[Fault], language: Language) -> None:
    from mailwatch import log

    mark = "<3>" if log.is_journal() else ""
    for fault in faults:
        click.echo(mark + say_fault(fault, language), err=True)
