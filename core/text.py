"""Every sentence that a person reads passes through here, so that it can appear in that person's language.

`_("...")` translates now, `N_("...")` only marks a text that is translated when it is shown (labels declared at
import).
"""

from __future__ import annotations

import gettext
from pathlib import Path

DOMAIN = "layerscope"
CATALOGUES = Path(__file__).with_name("locale")

_translations: gettext.NullTranslations = gettext.NullTranslations()


def use_language(language: str) -> None:
    """Translate from now on into `language` ("en", "de", ...); a language without a catalogue falls back to English."""
    use_translations(gettext.translation(DOMAIN, CATALOGUES, [language], fallback=True))


def use_translations(translations: gettext.NullTranslations) -> None:
    """Translate from now on with these translations (tests use a catalogue that marks every text)."""
    global _translations
    _translations = translations


def translations() -> gettext.NullTranslations:
    """Those in use now: the key to what is remembered with sentences in it."""
    return _translations


def _(message: str) -> str:
    return _translations.gettext(message) if message else ""


def N_(message: str) -> str:
    return message


def ngettext(singular: str, plural: str, count: int) -> str:
    return _translations.ngettext(singular, plural, count)
