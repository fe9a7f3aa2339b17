"""A small embedding without a model: topics that words belong to, and pieces of the words.

Texts about one topic are near each other even if they share no word; texts that share words, or
parts of them, are a little nearer. It is a pure function, so queries and mutations may call it.
"""

import math
import re
from zlib import crc32

TOPICS = {
    "food": "eat food meal cook cooking dinner lunch breakfast recipe soup bread cheese hungry "
    "kitchen restaurant pasta rice curry cake bake tasty delicious",
    "health": "ill sick doctor medicine pain headache hospital fever healthy sleep tired cough "
    "nurse dentist tooth teeth",
    "money": "money pay price bank invoice bill tax cheap expensive salary budget cost sell rent",
    "travel": "travel trip train flight fly airport hotel holiday vacation journey ticket passport "
    "beach luggage suitcase",
    "home": "house flat apartment room garden roof window door wall paint repair leak plumber sofa",
    "work": "work job office meeting boss colleague deadline project report interview career",
    "computers": "computer laptop software program code bug server database network internet "
    "password keyboard screen crash",
    "animals": "animal dog cat bird fish horse puppy kitten pet vet feed walk fur",
    "weather": "weather rain sunny snow storm wind cloud hot warm umbrella temperature forecast",
    "music": "music song guitar piano concert band sing singer album dance melody violin",
    "sport": "sport football run running swim swimming ball team match race bicycle gym",
    "family": "family mother father child children baby sister brother grandmother wedding",
}

_TOPIC_WEIGHT = 1.0
_PIECE_WEIGHT = 0.25
_PIECES = 52
DIMENSIONS = len(TOPICS) + _PIECES

_topics_of: dict[str, list[int]] = {}
for _at, _words in enumerate(TOPICS.values()):
    for _word in _words.split():
        _topics_of.setdefault(_word, []).append(_at)


def embed(text: str) -> list[float]:
    """The text's direction: DIMENSIONS numbers, of length 1 unless the text has no word."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"[a-z]+", text.lower()):
        for topic in _topics_of.get(word) or _topics_of.get(word.rstrip("s"), ()):
            vector[topic] += _TOPIC_WEIGHT
        for at in range(len(word) - 2):
            piece = crc32(word[at : at + 3].encode()) % _PIECES
            vector[len(TOPICS) + piece] += _PIECE_WEIGHT
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector] if length else vector
