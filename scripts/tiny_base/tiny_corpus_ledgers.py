"""Ledgers: texts of the tiny base's pre-training that list counted things, with a name, a day, a place and amounts.

They have the shape that business texts have everywhere, in subjects other than orders, under keys and wordings of
their own. A ledger's ``layout`` names its keys by role, in the order of the answer; cue words are common to all, but
for what opens a text. ``fixed_keys`` and ``fixed_templates`` list what is fixed, as in ``tiny_corpus_domains``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiny_corpus_values import KINDS, Part, Value, copied, fill, syllable_word


def _split(text: str) -> list[str]:
    """Return the alternatives of a text, which ``|`` separates; line breaks count as spaces."""
    return [" ".join(piece.split()) for piece in text.split("|")]


@dataclass(frozen=True)
class Ledger:
    """One subject: its keys by role, how a text begins (``{}`` is the list), and how it begins with the name."""

    layout: tuple[tuple[str, tuple[str, ...]], ...]
    heads: tuple[str, ...]
    named: tuple[str, ...]

    def path(self, role: str) -> tuple[str, ...]:
        """Return where the answer holds a role."""
        return dict(self.layout)[role]


def _ledger(layout: str, heads: str, named: str) -> Ledger:
    """Read a layout such as ``who:donor list:goods count:n … day:arrival.day``; a dot nests."""
    roles = tuple((part.split(":")[0], tuple(part.split(":")[1].split("."))) for part in layout.split())
    return Ledger(roles, tuple(_split(heads)), tuple(_split(named)))


LEDGERS: tuple[Ledger, ...] = (
    _ledger(
        "who:donante list:bienes count:n unit:medida thing:bien value:valor day:acto.dia place:acto.sede "
        "percent:exento amount:suma",
        "se donan {}|donativo de {}|recibimos en donación {}|aportación: {}|quieren donar {}|regalan {}|ceden {}",
        "{who} dona {}|donativo de {who}: {}|{who} regala {}|{who} cede {}|{who} aporta {} al museo",
    ),
    _ledger(
        "list:carga count:bultos unit:envase thing:contenido value:tasa who:capitan day:arribo.jornada "
        "place:arribo.puerto percent:merma amount:seguro",
        "el barco trae {}|a bordo van {}|manifiesto: {}|en la bodega hay {}|desembarcan {}|se estiban {}|"
        "zarpa con {}",
        "{who} trae a bordo {}|el capitán {who} estiba {}|nave de {who}: {}|{who} desembarca {}|{who} zarpa con {}",
    ),
    _ledger(
        "who:postor list:lotes count:num unit:empaque thing:lote value:puja day:remate place:salon percent:comision "
        "amount:martillazo",
        "se subastan {}|salen a subasta {}|lotes: {}|se rematan {}|la casa ofrece {}|pujan por {}|ofrece por {}",
        "{who} puja por {}|postor {who}: {}|{who} ofrece por {}|gana {who} {}|{who} quedó con {}",
    ),
    _ledger(
        "day:siega list:acopio count:cuantos unit:recipiente thing:grano value:cuota who:agricultor "
        "place:rancho percent:humedad amount:subsidio",
        "se cosecharon {}|cosecha: {}|acopiamos {}|el silo guarda {}|la parcela dio {}|levantaron {}|se pizcaron {}",
        "{who} cosechó {}|acopio de {who}: {}|{who} levantó {}|del campo de {who} salen {}|{who} pizcó {}",
    ),
    _ledger(
        "who:arrendatario list:equipo count:unidades unit:formato thing:aparato value:renta day:retiro.cuando "
        "place:retiro.donde percent:recargo amount:fianza",
        "se rentan {}|renta de {}|alquilo {}|en alquiler {}|prestamos por una semana {}|nos rentan {}|alquilen {}",
        "{who} renta {}|contrato con {who}: {}|{who} alquila {}|le rentamos a {who} {}|inquilino {who}: {}",
    ),
    _ledger(
        "who:anfitrion list:menu count:raciones unit:porcion thing:platillo value:calorias day:convite.noche "
        "place:convite.lugar percent:propina amount:presupuesto",
        "para el banquete {}|se servirán {}|menú: {}|cocinen {}|se ponen {}|el chef prepara {}|habrá {}",
        "{who} invita {}|banquete de {who}: {}|boda de {who} con {}|{who} sirve {}|fiesta de {who}: {}",
    ),
    _ledger(
        "who:medico list:botiquin count:dosis unit:presentacion thing:farmaco value:gramos day:revisado "
        "place:hospital percent:eficacia amount:gasto",
        "se recetan {}|receta: {}|el botiquín guarda {}|surtan la receta de {}|tomar {}|aplicar {}|"
        "faltan del botiquín {}",
        "{who} receta {}|doctor {who}: {}|por indicación de {who} {}|{who} indica {}|consulta de {who}: {}",
    ),
    _ledger(
        "place:obra.municipio day:obra.inicio list:materiales count:numero unit:tamano thing:material value:costo "
        "who:contratista percent:avance amount:anticipo",
        "para la obra {}|se usarán {}|materiales: {}|la cuadrilla descarga {}|a pie de obra {}|se colocan {}|van {}",
        "{who} coloca {}|contratista {who}: {}|obra de {who} con {}|{who} descarga {}|la cuadrilla de {who} usa {}",
    ),
    _ledger(
        "who:rescatista list:viveres count:conteo unit:bulto thing:viver value:kilogramos day:salida.dia "
        "place:salida.albergue percent:avance_pct amount:fondo",
        "al albergue van {}|se reparten {}|víveres: {}|la brigada lleva {}|juntamos {}|despensa con {}|acopien {}",
        "{who} reparte {}|brigada de {who}: {}|{who} juntó {}|{who} lleva al albergue {}|con {who} van {}",
    ),
    _ledger(
        "list:hallazgos count:ejemplares unit:muestra thing:hallazgo value:siglo_valor who:arqueologa day:excavado "
        "place:sitio percent:pureza amount:beca",
        "se hallaron {}|excavamos {}|hallazgos: {}|en la fosa aparecen {}|catalogar {}|se exhiben {}|salieron {}",
        "{who} halló {}|excavación de {who}: {}|{who} cataloga {}|firmado por {who} con {}|{who} exhibe {}",
    ),
    _ledger(
        "who:maestra list:utiles count:juegos unit:paquetes_de thing:util value:puntos day:curso.arranque "
        "place:curso.escuela percent:asistencia amount:colecta",
        "la escuela junta {}|lista de útiles: {}|cada alumno trae {}|para el taller {}|se sortean {}|premios: {}|"
        "rifan {}",
        "{who} sortea {}|salón de {who}: {}|la maestra {who} junta {}|{who} rifa {}|grupo de {who} con {}",
    ),
    _ledger(
        "who:testador list:herencia count:cuenta unit:medido thing:herencia_de value:avaluo day:firma.dia "
        "place:firma.notaria percent:impuesto amount:deuda",
        "se heredan {}|testamento: {}|deja en herencia {}|legado de {}|el notario enlista {}|"
        "quedan en la familia {}|se legan {}",
        "{who} hereda {}|testamento de {who}: {}|{who} deja {}|{who} lega {}|el notario lee a {who}: {}",
    ),
)  # fmt: skip

WHO = _split(
    "responde {}|lo firma {}|encargado {}|a mano de {}|lo lleva {}|por parte de {}|aval: {}|quien firma es {}|"
    "persona: {}|al cuidado de {}|es de {}|hecho por {}|con firma de {}|va con {}|propietario: {}|interesado: {}|"
    "gestiona {}|autoriza {}|le toca a {}|lo tiene {}|dueña {}|habló {}|escribe {}|me dicen {}|yo soy {}|"
    "el titular se llama {}|nombrado {}|atentamente, {}|lo ve {}|trato con {}|quien recibe es {}|por mandato de {}|"
    "contesta {}|{} lo firma|{} se encarga|{} responde|lo avala {}|propiedad de {}|en manos de {}|representa {}"
)
DAY = _split(
    "el {}|el día {}|hacia el {}|antes del {}|queda para el {}|listo el {}|se hará el {}|cita: {}|vence el {}|"
    "cuándo: {}|en la jornada del {}|será {}|previsto {}|toca el {}|pactado para el {}|ocurre el {}|sucede el {}|"
    "a partir del {}|desde el {}|se firma el {}|agenda: {}|turno del {}|hecho el {}|nos vemos el {}|ya para el {}|"
    "cierra el {}|calculado al {}|corte al {}|cumple el {}|debe ser el {}|nos cae bien el {}|se abre el {}|"
    "día fijado: {}|vigente al {}"
)
PLACE = _split(
    "allá en {}|por {}|sede {}|punto: {}|hasta la villa de {}|rumbo: {}|aquí en {}|dirección {}|cerca de {}|"
    "dentro de {}|pueblo: {}|en la zona de {}|con base en {}|región {}|dónde: {}|ubicado en {}|se hace en {}|"
    "con sede en {}|vamos a {}|llevan todo a {}|sale hacia {}|parte hacia {}|pasa por {}|termina en {}|queda en {}|"
    "municipio de {}|todo va a {}|en el poblado de {}|camino a {}|bajar en {}|dejar todo en {}|nos toca en {}|"
    "estará en {}|somos de {}"
)
DAY_PLACE = _split(
    "el {day} por {place}|será en {place} el {day}|{day}, {place}|{place}, {day}|sede {place}, día {day}|"
    "en {place} antes del {day}|hacia {place} el {day}|cita en {place}: {day}|el {day} allá en {place}|"
    "queda para el {day} en {place}|se hace en {place} el {day}|el {day} vamos a {place}|sale a {place} el {day}|"
    "pasa por {place} el {day}|todo va a {place} el {day}|listo en {place} para el {day}|dejar en {place} el {day}"
)
PERCENT = _split(
    "al {}|parte: {}|con {}|son {} menos|baja {}|va {}|sube {}|nivel de {}|proporción {}|se quita el {}|se suma {}|"
    "corresponde {}|tasa del {}|queda en {}|alcanza el {}|margen {}|llega al {}|ajuste del {}|un {} aparte|"
    "reserva del {}|con ajuste de {}|le bajan {}|nos dejan {}|vale por {}|hay {} de gracia|con {} de ayuda|"
    "porción del {}|quita {}"
)
AMOUNT = _split(
    "se juntan {}|cifra {}|montante: {}|fondo de {}|en fondo {}|se dan {}|saldo {}|cuesta todo {}|resultan {}|"
    "sale a {}|hacen {} entre todo|gastamos {}|se firmó por {}|cubre {}|vale {} el conjunto|{} para cerrar|"
    "al final {}|asciende a {}|cerramos en {}|llega a {}|se fijó en {}|cuenta: {}|se reúnen {}|{} por el lote|"
    "{} al cierre|queda una cifra de {}|hay que juntar {}|se deben {}|valuado todo en {}|por el conjunto {}|"
    "entre todo {}|arroja {}|nos deja {}"
)
LINES = _split(
    "{count} {thing}|{count} {thing}|{count} {thing}|{count} {thing}|{count} {thing}|{count} {thing}|{count} {thing}|"
    "{thing}, {count}|{thing} ({count})|{thing}: {count}|{thing} ×{count}|{thing} por {count}|{thing} {count}|"
    "[{count}] {thing}|{thing}/{count}|{thing} hay {count}"
)
VALUES = _split(
    "({})|({} ch)|, {}|- {}|/ {}|valuado en {}|tasado en {}|marcado {}|que vale {}|con valor {}|vale {} cada cual|"
    "cada cual {}|[{}]|→ {}|que suben a {}|de a {}|estimado {}|a {} por cabeza|por cabeza {}|con {}|"
    "sobre {} la unidad|cada quien {}"
)
VALUES = [form if form.startswith(",") else f" {form}" for form in VALUES]
_MEASURES = """
    kilo/kilos litro/litros caja/cajas bolsa/bolsas paquete/paquetes costal/costales metro/metros frasco/frascos
    botella/botellas lata/latas rollo/rollos docena/docenas gramo/gramos galón/galones tonelada/toneladas
    barril/barriles saco/sacos tambo/tambos manojo/manojos charola/charolas bulto/bultos par/pares juego/juegos
    pliego/pliegos tramo/tramos tubo/tubos vaso/vasos sobre/sobres atado/atados fardo/fardos ramo/ramos
    tina/tinas cesto/cestos racimo/racimos hato/hatos puño/puños quintal/quintales arroba/arrobas libra/libras
    onza/onzas
"""
UNITS = [word.split("/") for word in _MEASURES.split()]
"""Words for amounts, singular and plural: general Spanish, which every list of goods uses."""


def ledger(rng: random.Random, subject: Ledger) -> tuple[list[Part], dict[Any, Any]]:
    """Draw one text of a subject: the parts of the text and the answer, keys in the order of the layout."""
    items, listed = _listed(rng, subject)
    found: dict[str, Any] = {"list": items}
    clauses: list[list[Part]] = []
    who = KINDS["nombre" if rng.random() < 0.85 else "lugar"](rng)
    if rng.random() < 0.85:
        found["who"] = who
    if "who" in found and rng.random() < 0.4:
        first = fill(rng.choice(subject.named), listed, who=who)
    else:
        first = fill(rng.choice(subject.heads), listed)
        clauses += [_clause(rng, WHO, who)] if "who" in found else []
    clauses += _when_and_where(rng, found)
    for role, kind, cues in (("percent", "porcentaje", PERCENT), ("amount", "monto", AMOUNT)):
        if rng.random() < 0.3:
            found[role] = KINDS[kind](rng)
            clauses.append(_clause(rng, cues, found[role]))
    if rng.random() < 0.6:
        rng.shuffle(clauses)
    clauses.insert(rng.randint(0, len(clauses)) if rng.random() < 0.3 else 0, first)
    answer: dict[Any, Any] = {}
    for role, path in subject.layout:
        if role in found:
            _put(answer, path, found[role])
    return _composed(rng, clauses), answer


def _when_and_where(rng: random.Random, found: dict[str, Any]) -> list[list[Part]]:
    """Draw the clauses of day and place, each of which may be missing."""
    chosen = rng.choice([["day"]] * 5 + [["place"]] * 4 + [["day", "place"]] * 6 + [[]] * 4)
    found.update({role: KINDS["dia" if role == "day" else "lugar"](rng) for role in chosen})
    if len(chosen) == 2 and rng.random() < 0.6:
        return [fill(rng.choice(DAY_PLACE), **{role: found[role] for role in chosen})]
    return [_clause(rng, DAY if role == "day" else PLACE, found[role]) for role in chosen]


def _clause(rng: random.Random, cues: Sequence[str], value: Value) -> list[Part]:
    """State a value after one of the cues; one time in six an invented word or two stand in the cue's place."""
    if rng.random() < 0.84:
        return fill(rng.choice(cues), value)
    invented = " ".join(syllable_word(rng) for _ in range(rng.choice((1, 1, 2))))
    link = rng.choice(
        (" en ", " a ", " por ") if cues is PLACE else (" el ", ": ", " al ") if cues is DAY else (" ", ": ")
    )
    return [invented + link, value]


def _listed(rng: random.Random, subject: Ledger) -> tuple[list[dict[Any, Any]], list[Part]]:
    """Draw the list: its objects and its text."""
    keys = {role: subject.path(role)[0] for role in ("count", "unit", "thing", "value")}
    valued = rng.random() < 0.5
    items: list[dict[Any, Any]] = []
    text: list[Part] = []
    joints = rng.choice(((", ", " y "), (", ", " y "), (", ", ", "), ("; ", "; "), (" + ", " + "), (", ", " más ")))
    many = rng.choice([1] * 10 + [2] * 5 + [3] * 3 + [4])
    for k in range(many):
        count, thing = KINDS["cuenta"](rng), KINDS["cosa"](rng)
        unit = copied(rng.choice(UNITS)[count.target != 1]) if rng.random() < 0.45 else None
        item = {keys["count"]: count, **({keys["unit"]: unit} if unit else {}), keys["thing"]: thing}
        form = rng.choice(LINES)
        if unit and form == "{count} {thing}":
            form = "{count} de {thing}"
        line = fill(form, count=[count, *((" ", unit) if unit else ())], thing=thing)
        if valued and rng.random() < 0.9:
            item[keys["value"]] = KINDS["monto"](rng)
            line += fill(rng.choice(VALUES), item[keys["value"]])
        items.append(item)
        text += [*([joints[k == many - 1]] if k else []), *line]
    return items, text


def _put(answer: dict[Any, Any], path: Sequence[str], value: Any) -> None:
    """Set a value of the answer, making the object that it stands in."""
    for key in path[:-1]:
        answer = answer.setdefault(key, {})
    answer[path[-1]] = value


def _composed(rng: random.Random, clauses: Sequence[list[Part]]) -> list[Part]:
    """Join clauses by commas, semicolons, full stops or line breaks, with a capital after the latter two."""
    usual = rng.choice((", ", ", ", ". ", ". ", "; ", "\n", " "))
    parts: list[Part] = [rng.choice(GREETINGS)] if rng.random() < 0.2 else []
    for k, clause in enumerate(clauses):
        mark = usual if rng.random() < 0.8 else rng.choice((", ", ". "))
        parts += [mark] if k else []
        # Slots at the edge of a form leave empty pieces, which carry nothing and would take the capital.
        (head, *tail), capital = [part for part in clause if part != ""], not parts or parts[-1] in (". ", "\n")
        parts += [head[:1].upper() + head[1:] if capital and isinstance(head, str) else head, *tail]
    return [*parts, "."] if usual != "\n" and rng.random() < 0.5 else parts


GREETINGS = ("saludos, ", "apunte: ", "aviso: ", "nota: ", "va de nuevo, ", "oigan, ", "amigos, ", "gracias, ")


def fixed_keys() -> set[str]:
    """Return every fixed key of the answers."""
    return {key for subject in LEDGERS for _, path in subject.layout for key in path}


def fixed_templates() -> set[str]:
    """Return every fixed head, clause and way of writing a line."""
    fixed = {form for subject in LEDGERS for form in (*subject.heads, *subject.named)}
    return fixed.union(WHO, DAY, PLACE, DAY_PLACE, PERCENT, AMOUNT, LINES, VALUES)
