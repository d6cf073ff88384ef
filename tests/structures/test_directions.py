import pytest

from instagan.errors import InputError
from instagan.structures.directions import A_TO_B, B_TO_A, Asked, asked_for


def test_a_method_with_both_directions_gives_those_that_are_asked_for_and_goes_back():
    both = (A_TO_B, B_TO_A)
    there, back = Asked("A", "B", A_TO_B, True), Asked("B", "A", B_TO_A, True)
    assert asked_for("both", both, "AtoB") == [there, back]
    assert asked_for("BtoA", both, "AtoB") == [back]


def test_a_run_trained_from_b_to_a_has_folder_b_as_domain_a_of_its_networks():
    assert asked_for("AtoB", (A_TO_B, B_TO_A), "BtoA") == [Asked("A", "B", B_TO_A, True)]
    assert asked_for("both", (A_TO_B,), "BtoA") == [Asked("B", "A", A_TO_B, False)]


def test_what_was_not_learned_is_refused_and_both_means_what_there_is():
    assert asked_for("both", (A_TO_B,), "AtoB") == [Asked("A", "B", A_TO_B, False)]
    with pytest.raises(InputError, match="--direction BtoA: the run has learned AtoB only; use --direction AtoB"):
        asked_for("BtoA", (A_TO_B,), "AtoB")
    with pytest.raises(InputError, match="use --direction BtoA"):
        asked_for("AtoB", (A_TO_B,), "BtoA")
