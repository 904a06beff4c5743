"""What the tests of the window share: nobody is there to answer a question, so a forgotten one must not wait."""

import pytest


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from layerscope.desktop import documents

    monkeypatch.setattr(documents, "ask_about_unsaved", lambda *_arguments: "discard")
