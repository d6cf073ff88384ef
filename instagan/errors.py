"""The one exception for input that only the user can fix."""

import errno
import re
from pathlib import Path

LONGEST = 1200
"""Letters of a sentence; of a longer one, whose names are absurdly long, the middle is left out."""

_FROM_WORKER = re.compile(r"Caught InputError in .*\ninstagan\.errors\.InputError: (.*)", re.DOTALL)
"""How a DataLoader passes a worker's exception on: one string with its traceback, the sentence at the end."""


class InputError(Exception):
    """Bad input: the message is one sentence that names the file or flag and says what to do instead.

    The programs print it on stderr and exit with code 2; nothing else is printed and nothing is lost.
    """

    def __str__(self) -> str:
        """On one line, whatever the names in it hold."""
        whole = super().__str__()
        from_worker = _FROM_WORKER.fullmatch(whole)
        line = one_line((from_worker[1] if from_worker else whole).strip())
        cut = len(line) - LONGEST
        return line if cut <= 0 else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def raise_unless_too_long(error: OSError) -> InputError:
    """What to say of a path that its file system finds too long, whoever looked at it first; any other error is raised
    again."""
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return InputError(f"{str(error.filename)[:80]}... is too long for a path here; use a shorter one")


def sentence(error: Exception, file: Path | str = "") -> str:
    """What to say on one line of an error that ends a program. file: what it is about, if it does not say."""
    if not isinstance(error, OSError) or error.errno is None:
        return one_line(str(error))
    if error.errno == errno.ENAMETOOLONG:
        return str(raise_unless_too_long(error))
    return one_line(f"{error.filename or file}: {error.strerror}; make it accessible, or choose another")


def one_line(text: str) -> str:
    r"""The text with letters that cannot be shown, or would break or turn a line, written as \n, \x1b, \u202e."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
