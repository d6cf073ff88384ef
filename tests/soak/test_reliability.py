"""make reliability: one table of all that was tried; what breaks, crashes or hangs is a row that did not pass."""

import sys
import time
from types import ModuleType

import pytest

from tests.soak import reliability
from tests.soak.reliability_checks.rows import Budget, Row, table


def check(monkeypatch, name: str, run) -> None:
    """Adds a check to the table for one test."""
    module = ModuleType(name)
    module.run = run
    monkeypatch.setitem(sys.modules, f"tests.soak.reliability_checks.{name}", module)
    monkeypatch.setitem(reliability.CHECKS, name, f"tries {name}")


def test_the_rows_of_all_checks_make_one_table(monkeypatch, capsys):
    def counted(budget: Budget) -> list[Row]:
        (budget.folder / "scratch").write_text("")
        return [Row("10 last", "counting", f"{budget.kills} kills", True), Row("2 first", "looking", "7 cases", True)]

    check(monkeypatch, "counting", counted)
    assert reliability.main(["counting", "--kills", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 of 2 hold"
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")] == ["law", "2 first", "10 last"]
    assert "5 kills" in lines[-3] and lines[-3].endswith("holds |")


@pytest.mark.parametrize(
    "run, said",
    [
        (lambda budget: [Row("1 law", "how", "3 of 4", False)], "BROKEN"),
        (lambda budget: 1 / 0, "ZeroDivisionError"),
        (lambda budget: sys.exit(3), "exit code 3"),
        (lambda budget: time.sleep(60), "no end after"),
    ],
)
def test_a_broken_law_a_crash_and_a_hang_fail(monkeypatch, capsys, run, said):
    check(monkeypatch, "failing", run)
    assert reliability.main(["failing", "--minutes", "0.03"]) == 1
    shown = capsys.readouterr().out
    assert said in shown and "BROKEN" in shown and "0 of 1 hold" in shown


def test_a_check_that_is_not_there_is_one_sentence(capsys):
    assert reliability.main(["nonsense"]) == 2
    assert "there is no check nonsense" in capsys.readouterr().err


def test_every_check_of_the_table_is_there():
    for name in reliability.CHECKS:
        assert (reliability.Path(reliability.__file__).parent / "reliability_checks" / f"{name}.py").is_file()


def test_laws_are_in_their_order():
    rows = [Row(f"{number} law", "", "", True) for number in (10, 2, 1)]
    assert [line[2:4].strip() for line in table(rows).splitlines()[2:]] == ["1", "2", "10"]
