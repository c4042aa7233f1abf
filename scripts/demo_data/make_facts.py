"""Make generated passages about people, and questions about them for the three stages of CLaRa.

    python scripts/demo_data/make_facts.py checkpoints/facts

A passage introduces a person and tells five things about them, in one of three wordings each, among seven sentences
that say nothing to ask about: 217 to 251 tokens of the tiny base in the test. Names, and the numbers among the answers,
differ between training, validation and test, and the test has a fourth wording of its own for each thing, and sentences
of its own. Writes a file for each stage, with people that no other stage has, and for validation and test the question
with its passage (``gold``), and among 20 passages (``among``).

The first stage has three files: passages of one sentence, of a few, and whole ones. From the short ones a small model
learns to read in minutes, and then reads longer ones.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FIRST = ["Ma", "Lu", "Ro", "Te", "Jo", "Ca", "Be", "Ni", "Pa", "Si", "Da", "El", "Fe", "Go", "Ol"]
MIDDLE = ["ri", "le", "sa", "mi", "no", "ti", "da", "ne", "lu", "ra"]
LAST = ["na", "ta", "do", "sio", "lia", "ro", "ca", "mo", "cio", "ra"]
FAMILY = ["Olmedo", "Tapia", "Rivas", "Luna", "Cano", "Prieto", "Solano", "Vega", "Mora", "Paz", "Nava", "Campos"]

NUMBER = ("number",)
"""Stands for a number of three figures."""


class Thing(NamedTuple):
    """Something that passages tell of a person.

    Attributes:
        values: what it may be.
        wordings: sentences with a place for it; the last one is for the test alone.
        question: what is asked, with a place for the name.
    """

    values: Sequence[str]
    wordings: Sequence[str]
    question: str


THINGS = [
    Thing(
        ["azul", "roja", "verde", "blanca", "negra", "amarilla", "gris", "morada"],
        ["La puerta de su casa es {}.", "Pintó {} su puerta.", "Su puerta se ve {} de lejos.", "Tiene la puerta {}."],
        "¿De qué color es la puerta de {}?",
    ),
    Thing(
        ["panadera", "maestra", "herrera", "pescadora", "médica", "sastre", "jardinera", "abogada", "pintora"],
        ["Trabaja de {}.", "Gana la vida como {}.", "Su oficio es {}.", "Desde joven es {}."],
        "¿Qué oficio tiene {}?",
    ),
    Thing(
        ["un perro", "un gato", "una cabra", "un loro", "una tortuga", "un burro", "una vaca", "un pato"],
        ["En el patio cuida {}.", "La acompaña {}.", "En casa tiene {}.", "Le regalaron {}."],
        "¿Qué animal tiene {}?",
    ),
    Thing(
        ["mole", "pozole", "arroz", "caldo", "tamales", "frijoles", "pescado", "ensalada"],
        ["Lo que más le gusta es comer {}.", "Los domingos come {}.", "Pide siempre {}.", "Nunca deja {} en el plato."],
        "¿Qué le gusta comer a {}?",
    ),
    Thing(
        ["café", "té", "atole", "agua", "leche", "chocolate", "jugo", "refresco"],
        ["Por la mañana toma {}.", "Bebe {} a todas horas.", "Ofrece {} a las visitas.", "Sin {} no empieza el día."],
        "¿Qué bebe {}?",
    ),
    Thing(
        ["guitarra", "flauta", "arpa", "violín", "tambor", "marimba", "trompeta", "piano"],
        ["Toca el instrumento {}.", "Aprendió música con {}.", "En las fiestas toca {}.", "Le enseñaron {}."],
        "¿Qué instrumento toca {}?",
    ),
    Thing(
        ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
        ["Descansa el {}.", "Su día libre es el {}.", "No trabaja el {}.", "El {} se queda en casa."],
        "¿Qué día descansa {}?",
    ),
    Thing(
        ["rosas", "lirios", "dalias", "claveles", "girasoles", "margaritas", "tulipanes"],
        ["En el jardín crecen {}.", "Siembra {} cada año.", "Vende {} en la plaza.", "Corta {} para la mesa."],
        "¿Qué flores tiene {}?",
    ),
    Thing(
        ["tren", "barco", "camión", "bicicleta", "caballo", "avión", "taxi"],
        ["Viaja en {}.", "Llega al trabajo en {}.", "Prefiere ir en {}.", "Sube al {} cada mañana."],
        "¿En qué viaja {}?",
    ),
    Thing(
        NUMBER,
        [
            "Vive en el número {}.",
            "Su casa tiene el número {}.",
            "En su puerta dice {}.",
            "El cartero la busca en el {}.",
        ],
        "¿En qué número vive {}?",
    ),
    Thing(
        NUMBER,
        ["Guarda {} libros.", "Ha leído {} libros.", "En su cuarto hay {} libros.", "Presta {} libros al año."],
        "¿Cuántos libros tiene {}?",
    ),
    Thing(
        NUMBER,
        ["Ahorra {} pesos al mes.", "Le pagan {} pesos.", "Gasta {} pesos por semana.", "Debe {} pesos."],
        "¿De cuántos pesos se habla de {}?",
    ),
]
WHO = "¿De quién se habla?"
FILLER = [
    *("Saluda a todos por la calle.", "Siempre llega temprano a las juntas.", "Dicen que ríe con facilidad."),
    *("Nadie la ha visto de mal humor.", "En la colonia la conocen bien.", "Sus hermanas la visitan seguido."),
    *("Le gusta platicar en la banqueta.", "Cuida mucho a su familia.", "No le teme a la lluvia."),
    *("Hace tiempo vivió lejos de aquí.", "Camina despacio y mira las nubes.", "Duerme poco en tiempo de calor."),
    *("Canta bajito cuando cocina.", "Guarda las cartas de su abuela.", "Ayuda en la fiesta del pueblo."),
    *("Conoce el nombre de cada árbol.", "A veces se le olvidan las llaves.", "Prefiere callar antes que discutir."),
    *("Tiene paciencia con los niños.", "Le cuesta trabajo decir que no.", "Se sienta a la sombra por la tarde."),
    *("Cuenta historias de otros tiempos.", "Nunca tira nada a la basura.", "Barre la entrada muy de mañana."),
]
OF_TEST = 8
"""The last so many of these are for the test alone, where half are of them."""

SENTENCES, TOLD = 12, 5
"""In a whole passage behind its first sentence, and how many of them can be asked about."""


class Size(NamedTuple):
    """How long the passages of a file are, one of these as often as another.

    Attributes:
        told: how many things they tell.
        sentences: most sentences behind the first one; with ``whole``, all have so many.
        whole: whether they do.
    """

    told: Sequence[int]
    sentences: int
    whole: bool = False


FIRST_STAGE = {
    "pretrain_1": Size((1,), 1),
    "pretrain_few": Size((1, 2, 3, 4), 6),
    "pretrain": Size((3, 4, 5), 12, True),
}
"""The files of the first stage, in the order in which they are learned from."""

CANDIDATES = 20
SPLITS = ("train", "valid", "test")


class Passage(NamedTuple):
    """A passage about someone, and what can be asked about it with the answers."""

    name: str
    text: str
    pairs: list[tuple[str, str]]


def names(split: str) -> list[str]:
    """Return the names of a split, which no other has."""
    every = [f"{a}{b}{c} {d}" for a in FIRST for b in MIDDLE for c in LAST for d in FAMILY]
    random.Random("names").shuffle(every)
    places = {"valid": slice(0, 1000), "test": slice(1000, 2000), "train": slice(2000, None)}
    return every[places[split]]


def number(split: str, rng: random.Random) -> str:
    """Return a number that only this split has."""
    return str(100 + 9 * rng.randrange(100) + {"train": rng.randrange(7), "valid": 7, "test": 8}[split])


def filler(split: str, count: int, rng: random.Random) -> list[str]:
    """Return sentences that say nothing to ask about."""
    common, own = FILLER[:-OF_TEST], FILLER[-OF_TEST:]
    some = min(OF_TEST, count // 2) if split == "test" else 0
    return rng.sample(own, some) + rng.sample(common, count - some)


def passages(split: str, rng: random.Random, among: Sequence[str], size: Size) -> Iterator[Passage]:
    """Yield a passage for each name."""
    for name in among:
        told = rng.sample(THINGS, rng.choice(size.told))
        least = size.sentences if size.whole else len(told)
        lines, pairs = filler(split, rng.randint(least, max(least, size.sentences)) - len(told), rng), []
        for thing in told:
            value = number(split, rng) if thing.values is NUMBER else rng.choice(thing.values)
            wording = thing.wordings[-1] if split == "test" and rng.random() < 0.5 else rng.choice(thing.wordings[:-1])
            lines.append(wording.format(value))
            pairs.append((thing.question.format(name), value))
        rng.shuffle(lines)
        yield Passage(name, f"{name} es mi vecina. " + " ".join(lines), pairs)


def within(size: Size, sentences: int) -> Size:
    """Return a size of no more sentences than these."""
    told = [count for count in size.told if count <= sentences] or [sentences]
    return Size(told, min(size.sentences, sentences), size.whole)


def rows_of(kind: str, given: Sequence[Passage], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file: one of ``FIRST_STAGE``, ``instruct``, ``search``, ``gold`` or ``among``."""
    for at, passage in enumerate(given):
        # Whose passage it is can only be asked where it stands alone.
        question, answer = rng.choice([*passage.pairs, (WHO, passage.name)] if kind in FIRST_STAGE else passage.pairs)
        row: dict[str, Any] = {"id": f"{kind}-{at}", "question": question, "answer": answer, "docs": [passage.text]}
        row["pos_name"] = [passage.name]
        if kind in ("instruct", "search", "among"):
            count = 2 if kind == "instruct" else CANDIDATES
            others = rng.sample(range(len(given)), count)
            docs = [given[other].text for other in others if other != at][: count - 1]
            place = rng.randrange(count)
            row |= {"docs": [*docs[:place], passage.text, *docs[place:]], "pos_index": [place]}
        yield row


def make_facts(folder: Path, sizes: dict[str, int], seed: int, sentences: int = SENTENCES) -> None:
    """Write the files of all stages, of passages with so many sentences; some of the first stage have fewer."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        rng = random.Random(f"{seed}/{split}")
        # The first stage comes last: it may tell of one person twice, each time something else.
        kinds = ("instruct", "search", *FIRST_STAGE) if split == "train" else ("gold", "among")
        own = names(split)
        rng.shuffle(own)
        start, wanted = 0, sizes["instruct"] + sizes["search"] + 1 if split == "train" else sizes[split]
        if wanted > len(own):
            raise SystemExit(f"{wanted} people are wanted for {split}, and there are {len(own)} names: ask for fewer")
        for kind in kinds:
            size = sizes[kind if split == "train" else split]
            # The same people are asked about alone and among others; stages have people of their own.
            some = rng.choices(own[start:], k=size) if kind in FIRST_STAGE else own[start : start + size]
            start += size if kind in ("instruct", "search") else 0
            drawn = random.Random(f"{seed}/{split}/{kind if kind in FIRST_STAGE else start}")
            given = list(
                passages(split, drawn, some, within(FIRST_STAGE.get(kind, Size((TOLD,), SENTENCES, True)), sentences))
            )
            name = kind if split == "train" else f"{split}_{kind}"
            lines = [json.dumps(row, ensure_ascii=False) for row in rows_of(kind, given, rng)]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            print(f"{folder / name}.jsonl: {len(lines)} rows")
            if name == "test_gold":
                corpus = [{"id": passage.name, "text": passage.text} for passage in given]
                texts = [json.dumps(row, ensure_ascii=False) for row in corpus]
                (folder / "corpus.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")


SIZES = {
    "pretrain_1": 7200,
    "pretrain_few": 12000,
    "pretrain": 24000,
    "instruct": 4000,
    "search": 2000,
    "valid": 200,
    "test": 400,
}
"""Rows of each file by default."""


def main() -> None:
    """Write the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--sentences", type=int, default=SENTENCES, choices=range(1, SENTENCES + 1), help="in a passage (12)"
    )
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=f"rows of it ({size})")
    args = parser.parse_args()
    make_facts(args.folder, {name: getattr(args, name) for name in SIZES}, args.seed, args.sentences)


if __name__ == "__main__":
    main()
