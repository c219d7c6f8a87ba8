"""Detects the language of a passage: the reader knows English words and must not apply them to other languages.

``1,4 billion de tokens`` is a thousand times ``1.4 billion tokens``. A passage in another language is left out entirely, and its figures
are listed with the language as the reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

LITTLE_WORDS = {
    "English": "the of and to in with for was were on is are by at from this that we it as an be or not its our each than one",
    "German": "der die das und wir auf mit von für wurde wurden sind bei den dem ein eine zu im insgesamt nach über lag",
    "French": "le la les des du de et nous avons sur avec pour est sont une un au aux en par dans soit cette pendant",
    "Spanish": "el la los las de con en para fue fueron una un del por que se durante este esta sobre",
    "Portuguese": "os com em para foi foram uma um da dos das por que se durante na ao pelo pela",
    "Italian": "il lo la gli le di con su sono una un del della dei delle da che abbiamo durante nel",
    "Dutch": "de het een en met op van voor werd werden zijn bij wij deze dat naar ook",
    "Polish": "na do przez dla jest był były się oraz został po od nie",
    "Swedish": "och med för på av en ett är var som till den det under vi",
}
"""Common words of each language; a word of two languages counts for both."""
_WORDS = {language: frozenset(words.split()) for language, words in LITTLE_WORDS.items()}
SCRIPTS = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean", "CYRILLIC": "Russian", "ARABIC": "Arabic",
           "HEBREW": "Hebrew", "DEVANAGARI": "Hindi", "THAI": "Thai"}  # fmt: skip
"""The first word of the Unicode names of a script's letters, and the language most texts in that script are in."""
FEWEST = 4
"""The fewest common words of another language in a passage classified as that language."""
SHARE = 0.3
"""The share of letters in another script above which a passage is classified by that script."""
LOOKED_AT = 4000
"""The number of characters of a passage that are examined."""


def language_of(text: str) -> str:
    """The language of a passage; empty for English or when there is too little text to tell."""
    said = text[:LOOKED_AT]
    return _by_script(said) or _by_little_words(said)


def _by_script(text: str) -> str:
    if text.isascii():
        return ""
    letters = [character for character in text if character.isalpha()]
    others = Counter(unicodedata.name(c, "").partition(" ")[0] for c in letters if ord(c) > 0x370)
    foreign = {name: count for name, count in others.items() if name in SCRIPTS}
    if sum(foreign.values()) <= SHARE * len(letters):
        return ""
    kana = next((name for name in foreign if SCRIPTS[name] == "Japanese"), "")
    return SCRIPTS[kana or max(foreign, key=lambda name: foreign[name])]


def _by_little_words(text: str) -> str:
    found = Counter(
        language
        for word in re.findall(r"[^\W\d_]{2,}", text.lower())
        for language, words in _WORDS.items()
        if word in words
    )
    best = max(found, key=lambda language: found[language], default="English")
    return best if found[best] >= FEWEST and found[best] > 2 * found["English"] else ""
