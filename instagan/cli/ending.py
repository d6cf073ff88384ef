"""How a program ends: its exit code, and one sentence where it was given something wrong or was stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from instagan.errors import InputError, raise_unless_too_long


def exit_code(program: str, run: Callable[[], int | None], stopped: str = "interrupted") -> int:
    """What ``run`` returns, else 0; 1 once nobody reads the output any more; 2 after one sentence on stderr for wrong
    input; 130 when stopped, which is said."""
    try:
        return run() or 0
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: {stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes there
        return 1
    except OSError as error:
        print(f"{program}: {raise_unless_too_long(error)}", file=sys.stderr)
        return 2
