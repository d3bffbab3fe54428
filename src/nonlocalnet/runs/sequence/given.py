"""What a user gives a network of sequences: sounds, texts and sentences, as the numbers that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from nonlocalnet.data.annotations.given import find_given
from nonlocalnet.data.sound.reader import read_sound
from nonlocalnet.data.sound.sound_list import SOUNDS
from nonlocalnet.data.text.coding import TextCoder, WordCoder
from nonlocalnet.data.text.text_list import TEXTS, load_text_list, read_text_file
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.runs.sequence.card import coder_of
from nonlocalnet.system.visible import cut


@dataclass(frozen=True)
class GivenSequence:
    """A sound, a text or a sentence that was given.

    Attributes:
        name: Its file, or the beginning of its text.
        read: Gives the numbers; ValueError or FileNotFoundError where it cannot be read.
        tokens: Of a sentence that is to be tagged; () else.
        label: What its list says it is, by name where the list has names; empty where it comes from no list.
        file: Where it stands; None for a text that was given itself.
    """

    name: str
    read: Callable[[], Tensor]
    tokens: tuple[str, ...] = ()
    label: str = ""
    file: Path | None = None


def reads_sounds(card: SequenceCard) -> bool:
    """Whether a network reads sounds, and else texts.

    Raises:
        ValueError: It reads numbers, of which there are no files.
    """
    if card.architecture.startswith("features_"):
        raise ValueError(
            "this network reads steps of numbers, not sounds or texts: use it from Python, network.scores(x, lengths) "
            "of nonlocalnet.from_checkpoint"
        )
    return card.architecture.startswith("sound_")


def find_sequences(
    card: SequenceCard, given: Sequence[str], *, texts: Sequence[str] = (), root: str | None = None
) -> list[GivenSequence]:
    """The sequences that are meant, in the order given.

    - Sounds: files, folders, patterns and lists, as `nonlocalnet.data.annotations.given.find_given` has them.
    - Texts: files, folders of them, and lists (.csv) of `text,label`; of a tagger every line of a file is a sentence,
      whose tokens are what white space parts.

    Args:
        card: Of the network.
        given: What was named.
        texts: Texts themselves.
        root: Folder that relative paths in a list of sounds start from.

    Raises:
        ValueError: The network reads something else, a folder holds nothing of the kind, or a list is malformed.
        FileNotFoundError: There is no such file or folder of texts.
    """
    if reads_sounds(card):
        if texts:
            raise ValueError("--text has no effect on a network that reads sounds: name sound files")
        rate = card.arguments["sample_rate"]
        found = find_given(given, class_names=card.class_names, root=root, media=SOUNDS)
        return [
            GivenSequence(str(path), partial(read_sound, path, sample_rate=rate), label=label, file=path)
            for path, label in ((one.entry.path, one.label) for one in found)
        ]
    if root is not None:
        raise ValueError("--root has no effect on a network that reads texts: it is for lists of sounds")
    coder = coder_of(card)
    assert coder is not None
    made = [one for text in texts for one in _of_text(card, coder, _as_utf8(text), file=None)]
    return [*made, *(one for place in given for one in _of_place(card, coder, Path(place)))]


def read_one(card: SequenceCard, path: Path) -> Tensor:
    """The numbers of one file, as `find_sequences` has them: a sound's samples, or the tokens of a text or sentence.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, it holds several, or the network reads neither.
    """
    if reads_sounds(card):
        return read_sound(path, sample_rate=card.arguments["sample_rate"])
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a text file")
    coder = coder_of(card)
    assert coder is not None
    found = list(_of_place(card, coder, path))
    if len(found) != 1:
        what = "sentences, one a line" if _tags(card) else "texts"
        raise ValueError(f"{path} holds {len(found)} {what}, and one is looked at: put it into a file of its own")
    return found[0].read()


def _as_utf8(text: str) -> str:
    """A text of the command line; where the locale is not UTF-8, its bytes stand in it one by one (PEP 383)."""
    if not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"--text is not UTF-8: {text!r}; put it into a file that is") from None


def _of_place(card: SequenceCard, coder: TextCoder, place: Path) -> Iterator[GivenSequence]:
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.suffix.lower() in TEXTS.suffixes and file.is_file())
        if not files:
            known = " ".join(sorted(TEXTS.suffixes))
            raise ValueError(
                f"{place}: no texts in this folder or below it; files of these suffixes are taken: {known}"
            )
        for file in files:
            yield from _of_place(card, coder, file)
    elif place.suffix.lower() == ".csv" and not _tags(card):
        listed = load_text_list(place)
        names = listed.class_names or card.class_names
        for number, entry in enumerate(listed.entries, start=1):
            known = names is not None and entry.label < len(names)
            label = names[entry.label] if names is not None and known else str(entry.label)
            yield GivenSequence(f"{place}, text {number}", partial(_coded, coder, entry.text), label=label, file=place)
    elif _tags(card):
        yield from _of_text(card, coder, read_text_file(place), file=place)
    else:
        yield GivenSequence(str(place), lambda: _coded(coder, read_text_file(place)), file=place)


def _of_text(card: SequenceCard, coder: TextCoder, text: str, *, file: Path | None) -> Iterator[GivenSequence]:
    if not text.strip():
        raise ValueError(f"{file}: the text is empty" if file else "--text is empty; give one with a word")
    if not (_tags(card) and isinstance(coder, WordCoder)):
        yield GivenSequence(str(file or cut(text)), partial(_coded, coder, text), file=file)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = tuple(line.split())
        if tokens:
            where = f"{file}, line {number}" if file else cut(line)
            yield GivenSequence(where, partial(coder.encode_tokens, tokens), tokens=tokens, file=file)


def _coded(coder: TextCoder, text: str) -> Tensor:
    numbers = coder.encode(text.strip())
    if not len(numbers):
        raise ValueError("the text has no word")
    return numbers


def _tags(card: SequenceCard) -> bool:
    return card.arguments.get("task") == "tag"
