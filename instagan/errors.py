"""The one exception for input that only the user can mend."""


class InputError(Exception):
    """Bad input: the message is one sentence that names the file or flag and says what to do instead.

    The programs print it on stderr and exit with code 2; nothing else is printed and nothing is lost.
    """

    def __str__(self) -> str:
        # a DataLoader passes a worker's exception on as one string with its traceback; the sentence stands at the end
        return super().__str__().rpartition("InputError: ")[2].strip()
