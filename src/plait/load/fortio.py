"""`fortio`: the program of that name, as far as this one is it.

Exit status as fortio's: 2 for wrong flags, 1 for other misuse and for a run that did not come about.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from plait.load import log as levels
from plait.load.flags import Flag, HelpWanted, Parsed, UsageError
from plait.load.golang import duration
from plait.load.log import Log
from plait.load.options import FLAGS, read
from plait.load.version import FORTIO

USAGE, FLAGS_WRONG = 1, 2
_COMMANDS = {
    "load": "load a URL and measure it",
    "curl": "fetch a URL once, the same way",
    "server": "answer: echo on 8080, a page on /fortio/, a TCP echo on 8078",
    "version": "which fortio this speaks like",
    "buildinfo": "the same, with the program behind it",
    "help": "this text",
}
_ABSENT = frozenset(
    {"grpcping", "nc", "script", "report", "redirect", "proxies", "tcp-echo", "udp-echo", "envhelp", "histogram"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with these arguments, or the process's; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    err = sys.stderr
    if not words:
        return _usage(err, "Missing command argument")
    command, *rest = words
    if command in {"-h", "--help", "-help", "help"}:
        _help(sys.stdout, FLAGS)
        return 0
    if command in {"version", "-version", "--version"}:
        sys.stdout.write(f"{FORTIO}\n")
        return 0
    if command == "buildinfo":
        sys.stdout.write(f"{FORTIO} (plait load) python {sys.version.split()[0]} {sys.platform}\n")
        return 0
    if command in {"load", "curl"}:
        return _with_options(command, rest, err)
    if command == "server":
        # asyncio is for servers only: a client starts faster without.
        from plait.load.server import run  # noqa: PLC0415

        return run(rest, err)
    if command.startswith("-"):
        return _usage(err, f"Missing command argument before {command}: write fortio load {command} … URL")
    if command in _ABSENT:
        return _usage(err, f"Error: fortio's command {command!r} is not part of plait")
    return _usage(err, f'Error: unknown command "{command}"')


def _with_options(command: str, words: Sequence[str], err: TextIO) -> int:
    # Lines leave as they are written, in order with the log; results are few.
    from plait.load import session  # noqa: PLC0415 -- `fortio version` needs no engine

    try:
        options = read(words)
        log = logger(options.flags, err)
        if command == "curl" or options["curl"]:
            return session.curl(options, log, err)
        return session.load(options, log, err)
    except HelpWanted:
        _help(err, FLAGS)
        return 0
    except UsageError as error:
        err.write(f"{error}\nSee: fortio help\n")
        return USAGE if str(error).startswith(("Error:", "At most", "Unable to extract")) else FLAGS_WRONG
    except BrokenPipeError:
        # Whoever read the body has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE


def logger(parsed: Parsed, out: TextIO) -> Log:
    """The log that the flags ask for; says so when its level is not the usual one."""
    values = parsed.values
    terminal = out.isatty() and not values["logger-no-color"]
    made = Log(
        out=out,
        level=max(values["loglevel"], levels.ERROR) if values["quiet"] else values["loglevel"],
        as_json=values["logger-json"],
        colour=values["logger-force-color"] or terminal,
        timestamp=values["logger-timestamp"],
        places=values["logger-file-line"],
        routine=values["logger-goroutine"],
    )
    if values["loglevel"] != levels.INFO and not values["quiet"]:
        # fortio says this whatever the new level is.
        text = f"Log level is now {values['loglevel']} {levels.NAMES[values['loglevel']]} (was 2 Info)"
        Log(
            out=out,
            as_json=made.as_json,
            colour=made.colour,
            timestamp=made.timestamp,
            places=made.places,
            routine=made.routine,
        ).write(levels.INFO, text)
    return made


def _usage(err: TextIO, message: str) -> int:
    _commands(err)
    err.write(f"{message}\n")
    return USAGE


def _commands(out: TextIO) -> None:
    out.write("fortio (plait) usage:\n\tfortio command [flags] target\ncommands:\n")
    out.writelines(f"  {name:<10} {text}\n" for name, text in _COMMANDS.items())


def _help(out: TextIO, flags: Mapping[str, Flag[Any]]) -> None:
    _commands(out)
    out.write("flags of load and curl (one dash or two, -flag=value or -flag value, before the URL):\n")
    for name in sorted(flags, key=str.lower):
        flag = flags[name]
        default = flag.default
        if flag.word == "duration":
            default = duration(default)
        elif name == "loglevel":
            default = levels.NAMES[default]
        elif isinstance(default, bool):
            default = str(default).lower()
        shown = f" (default {default})" if default not in {"", 0, (), "0s", "false"} else ""
        out.write(f"  -{name}{f' {flag.word}' if flag.word else ''}\n    \t{flag.help}{shown}\n")


if __name__ == "__main__":
    sys.exit(main())
