"""CEL, the language of rules in CRDs and of filters of access logs: the library that reads it, and its limits."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

#: The library reads by recursion, so that a text ten times as long ends the process.
_LONGEST: Final = 10_000


class CelError(ValueError):
    """A text that is no CEL; says why."""


@lru_cache(maxsize=1024)
def compile_cel(text: str) -> Any:
    """The program of an expression, for `execute` with a Context. Raises CelError."""
    if len(text) > _LONGEST:
        raise CelError(f"{len(text)} characters; at most {_LONGEST}")
    try:
        return native().compile(text)
    except ValueError as error:
        raise CelError(str(error).partition("\n")[0]) from error


@lru_cache(maxsize=1)
def native() -> Any:
    """The library's extension module by itself.

    Its package imports its command line as well: 190 ms and 25 MB that no process here has a use for.
    """
    # It logs each function that raises; here that is a user's mistake, told as such.
    logging.getLogger("cel").setLevel(logging.CRITICAL)
    package = find_spec("cel")
    for folder in package.submodule_search_locations or () if package is not None else ():
        for file in sorted(Path(folder).glob("cel.*so")):
            spec = spec_from_file_location("cel.cel", file)
            if spec is not None and spec.loader is not None:
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise ImportError("the package common-expression-language is incomplete: it has no module cel.cel")
