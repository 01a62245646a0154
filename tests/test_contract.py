"""What a lesson promises holds on its own data after its own training, and is only told elsewhere."""

import pytest

from unet_helpers.exercises import contract

CLAIM = "The network finds more stones than a grey threshold."


@pytest.fixture(autouse=True)
def default_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNET_DATA", raising=False)
    monkeypatch.delenv("UNET_STEPS", raising=False)


@pytest.mark.parametrize(("data", "steps"), [(None, None), ("phantom", None), ("", ""), ("/scans", "60")])
def test_what_holds_is_not_talked_about(data, steps, monkeypatch, capsys):
    for name, value in (("UNET_DATA", data), ("UNET_STEPS", steps)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert contract(True, CLAIM) is None and not capsys.readouterr().out


@pytest.mark.parametrize("data", [None, "", "phantom"])
def test_a_promise_that_breaks_on_the_lessons_own_data_is_an_error(data, monkeypatch, capsys):
    if data is not None:
        monkeypatch.setenv("UNET_DATA", data)
    with pytest.raises(AssertionError, match=f"^{CLAIM}$"):
        contract(False, CLAIM)


@pytest.mark.parametrize(
    ("data", "steps", "told"),
    [
        ("/scans", None, "On this data it is not so: "),
        ("kaggle", "60", "On this data it is not so: "),
        (None, "60", "After so short a training it is not so: "),
    ],
)
def test_elsewhere_it_is_one_calm_sentence(data, steps, told, monkeypatch, capsys):
    for name, value in (("UNET_DATA", data), ("UNET_STEPS", steps)):
        if value is not None:
            monkeypatch.setenv(name, value)
    contract(False, CLAIM)
    assert capsys.readouterr().out == f"{told}{CLAIM}\n"
