"""The subjects that the tiny base's pre-training text speaks of: their openings, cue words and JSON keys.

None is about orders or purchases: demonstrations are measured there. ``fixed_keys`` and ``fixed_templates`` list
everything that is fixed, so that a test can show that nothing is shared with the data of a demonstration.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One optional fact: its key in the answer, the kind of its value and the clauses that state it (``{}``)."""

    key: str
    kind: str
    cues: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A list of objects: its key, the keys and kinds of an object, and the ways to write one (``{key}``)."""

    key: str
    keys: tuple[tuple[str, str], ...]
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Domain:
    """One subject; ``fields`` stand in the order of the answer's keys."""

    openings: tuple[str, ...]
    fields: tuple[Field, ...]
    record: Record | None = None


def _domain(openings: str, *fields: tuple[str, str, str], record: tuple[str, str, str] | None = None) -> Domain:
    """Read the compact notation below: alternatives are separated by ``|``."""
    made = None
    if record:
        pairs = tuple((p.split(":")[0], p.split(":")[1]) for p in record[1].split())
        made = Record(record[0], pairs, tuple(record[2].split("|")))
    return Domain(tuple(openings.split("|")), tuple(Field(k, kind, tuple(c.split("|"))) for k, kind, c in fields), made)


DOMAINS: tuple[Domain, ...] = (
    _domain(
        "Reunión|Junta convocada|Se agenda una sesión|Nos vemos en junta|Hay reunión de equipo",
        ("tema", "frase", "sobre {}|con el tema {}|se tratará {}|asunto {}"),
        ("organiza", "nombre", "organiza {}|convoca {}|la dirige {}"),
        ("sala", "codigo", "en la sala {}|sala {}|piso {}"),
        ("dia", "dia", "fijada el {}|el día {}|será {}"),
        ("hora", "hora", "a las {}|empieza a las {}|hora {}"),
        record=(
            "puntos",
            "punto:frase minutos:entero",
            "{punto} ({minutos} min)|{minutos} minutos para {punto}|{punto}: {minutos}",
        ),
    ),
    _domain(
        "Vuelo|Viaje en avión|Salida de vuelo|Boleto de avión|Itinerario",
        ("vuelo", "codigo", "número {}|vuelo {}|código {}"),
        ("origen", "frase", "desde {}|sale de {}|origen {}"),
        ("destino", "frase", "hacia {}|vuela a {}|aterriza en {}|con llegada a {}"),
        ("pasajero", "nombre", "pasajero {}|viaja {}|a bordo {}"),
        ("salida", "dia", "salida {}|despega el {}|parte el {}"),
        ("asiento", "codigo", "asiento {}|en el lugar {}"),
        record=(
            "escalas",
            "escala:frase horas:decimal",
            "escala en {escala} de {horas} horas|{escala} ({horas} h)|{horas} h en {escala}",
        ),
    ),
    _domain(
        "Préstamo de libro|Biblioteca|Ficha de préstamo|Se presta un libro",
        ("titulo", "frase", "título {}|el libro {}|obra {}"),
        ("autor", "nombre", "escrito por {}|de la pluma de {}|autor {}"),
        ("lector", "nombre", "lo lleva {}|lector {}|prestado a {}"),
        ("paginas", "entero", "{} páginas|con {} hojas|páginas {}"),
        ("devolucion", "dia", "vuelve el {}|devolución {}|hasta el {}"),
    ),
    _domain(
        "Paciente|Consulta médica|Ingreso al hospital|Nota clínica",
        ("paciente", "nombre", "se llama {}|paciente {}|atendido {}|ingresa {}"),
        ("edad", "entero", "de {} años|edad {}|tiene {} años"),
        ("sintoma", "frase", "presenta {}|con síntoma {}|se queja de {}"),
        ("temperatura", "decimal", "temperatura {}|fiebre de {} grados"),
        ("alergia", "sino", "alergia {}|alérgico: {}"),
        record=(
            "dosis",
            "farmaco:frase mg:decimal veces:entero",
            "{farmaco} {mg} mg {veces} veces|{mg} mg de {farmaco}, {veces} usos|{veces} usos de {farmaco} ({mg} mg)",
        ),
    ),
    _domain(
        "Partido|Resultado del torneo|Terminó el encuentro|Marcador",
        ("local", "frase", "local {}|en casa {}|juega {}"),
        ("visita", "frase", "contra {}|visita {}|frente a {}"),
        ("estadio", "frase", "en el estadio {}|cancha {}|campo {}"),
        ("publico", "decimal", "ante {} personas|público {}|asistieron {}"),
        ("jugado", "dia", "jugado el {}|se jugó {}|partido del {}"),
        record=(
            "goles",
            "jugador:nombre minuto:entero",
            "gol de {jugador} al {minuto}|{jugador} ({minuto}')|minuto {minuto}: {jugador}",
        ),
    ),
    _domain(
        "Curso|Clase nueva|Se abre un curso|Materia|Taller",
        ("curso", "frase", "curso {}|llamado {}|aprende {}"),
        ("profesor", "nombre", "lo imparte {}|profesor {}|con el maestro {}"),
        ("aula", "codigo", "aula {}|en el salón {}"),
        ("cupo", "entero", "cupo {}|para {} alumnos|hay {} lugares"),
        ("inicio", "dia", "inicia el {}|comienza {}|desde el {}"),
        record=(
            "notas",
            "alumno:nombre nota:decimal",
            "{alumno} sacó {nota}|{alumno}: {nota}|nota {nota} de {alumno}|{nota} {alumno}",
        ),
    ),
    _domain(
        "Vehículo|Auto registrado|Ficha del coche|Revisión del motor",
        ("marca", "frase", "marca {}|fabricado por {}"),
        ("placa", "codigo", "placa {}|matrícula {}|con placas {}"),
        ("color", "frase", "color {}|pintado de {}"),
        ("kilometraje", "decimal", "recorrido {} km|con {} km|lleva {} km"),
        ("chofer", "nombre", "lo maneja {}|chofer {}|conduce {}"),
        record=(
            "fallas",
            "parte:frase grado:entero",
            "falla en {parte} grado {grado}|{parte} ({grado})|{grado} en {parte}",
        ),
    ),
    _domain(
        "Estación de clima|Reporte del cielo|Medición|Observatorio",
        ("estacion", "frase", "estación {}|medido en {}|desde {}"),
        ("lluvia", "decimal", "lluvia {} mm|llovió {}|{} mm de agua"),
        ("viento", "decimal", "viento {}|rachas de {}|sopla a {} km/h"),
        ("humedad", "porcentaje", "humedad {}|humedad del {}"),
        ("registro", "hora", "registrado a las {}|lectura de las {}"),
    ),
    _domain(
        "Concierto|Función de teatro|Espectáculo|Se presenta en vivo",
        ("artista", "nombre", "canta {}|actúa {}|artista {}"),
        ("obra", "frase", "presenta {}|con la obra {}|gira {}"),
        ("foro", "frase", "en el foro {}|teatro {}|auditorio {}"),
        ("aforo", "decimal", "aforo {}|caben {}|para {} asistentes"),
        ("funcion", "hora", "función {}|abre a las {}|a las {}"),
        record=(
            "canciones",
            "cancion:frase duracion:decimal",
            "{cancion} dura {duracion}|{cancion} [{duracion}]|{duracion} min {cancion}",
        ),
    ),
    _domain(
        "Receta|Para preparar|Instrucciones de cocina|Se mezcla",
        ("guiso", "frase", "guiso {}|se llama {}|cocinar {}"),
        ("horno", "entero", "horno a {} grados|a {} grados|hornear a {}"),
        ("minutos", "entero", "durante {} minutos|tarda {} min|{} minutos al fuego"),
        ("porciones", "entero", "rinde {}|porciones {}|alcanza para {}"),
        record=(
            "mezcla",
            "parte:frase gramos:decimal",
            "{gramos} g de {parte}|{parte} {gramos} gramos|{parte} ({gramos} g)|{gramos} gramos {parte}",
        ),
    ),
    _domain(
        "Obra de construcción|Proyecto|Edificio nuevo|Avance de obra",
        ("proyecto", "frase", "proyecto {}|denominado {}|la obra {}"),
        ("jefe", "nombre", "encabezado por {}|jefe {}|dirige {}"),
        ("avance", "porcentaje", "avance {}|va al {}|completado {}"),
        ("metros", "decimal", "{} metros|superficie {}|mide {} m2"),
        ("termina", "dia", "termina el {}|fin {}|concluye {}"),
        record=(
            "etapas",
            "etapa:frase semanas:entero costo:decimal",
            "{etapa} {semanas} semanas {costo}|{semanas} semanas de {etapa} con {costo} soles|"
            "{etapa}, {semanas} sem., {costo}",
        ),
    ),
    _domain(
        "Censo de animales|Refugio|Veterinario|Mascota",
        ("mascota", "nombre", "mascota {}|responde a {}|se llama {}"),
        ("especie", "frase", "especie {}|es un {}|raza {}"),
        ("masa", "decimal", "masa {}|marca {} en la balanza"),
        ("vacuna", "sino", "vacunado: {}|vacuna {}"),
        ("revision", "dia", "revisión {}|visto el {}|cita {}"),
        record=(
            "crias",
            "cria:nombre meses:entero",
            "{cria} de {meses} meses|{cria} ({meses})|{meses} meses {cria}",
        ),
    ),
    _domain(
        "Empleado|Nuevo ingreso|Contrato laboral|Personal",
        ("empleado", "nombre", "empleado {}|contratado {}|se une {}"),
        ("puesto", "frase", "puesto {}|como {}|trabaja de {}"),
        ("area", "frase", "en el área {}|área {}|departamento {}"),
        ("salario", "decimal", "salario {}|gana {}|sueldo de {}"),
        ("alta", "dia", "alta {}|desde {}|ingresó el {}"),
    ),
    _domain(
        "Ruta de autobús|Tren|Transporte|Línea",
        ("linea", "codigo", "línea {}|ruta {}|tren {}"),
        ("terminal", "frase", "terminal {}|parte de {}|arranca en {}"),
        ("frecuencia", "entero", "cada {} minutos|frecuencia {}|pasa cada {}"),
        ("ultimo", "hora", "último a las {}|cierra {}"),
        record=(
            "paradas",
            "parada:frase km:decimal",
            "{parada} km {km}|{parada} a {km} km|km {km} {parada}",
        ),
    ),
    _domain(
        "Experimento|Laboratorio|Muestra|Ensayo",
        ("muestra", "codigo", "muestra {}|etiqueta {}|tubo {}"),
        ("metodo", "frase", "método {}|por {}|mediante {}"),
        ("ph", "decimal", "pH {}|acidez {}"),
        ("analista", "nombre", "analizó {}|analista {}|medido por {}"),
        record=(
            "lecturas",
            "sustancia:frase nivel:decimal repeticiones:entero",
            "{repeticiones} lecturas de {sustancia} con {nivel}|{sustancia} {nivel} x{repeticiones}|"
            "{sustancia}: {nivel} ({repeticiones} veces)",
        ),
    ),
    _domain(
        "Rescate|Incidente|Parte de policía|Aviso de emergencia",
        ("suceso", "frase", "suceso {}|ocurrió {}|se reporta {}"),
        ("calle", "frase", "en la calle {}|calle {}|esquina {}"),
        ("heridos", "entero", "{} heridos|heridos {}|con {} lesionados"),
        ("agente", "nombre", "agente {}|acude {}|oficial {}"),
        ("momento", "hora", "a las {}|momento {}"),
    ),
    _domain(
        "Película|Estreno|Cine|Serie",
        ("pelicula", "frase", "película {}|se estrena {}|titulada {}"),
        ("director", "nombre", "dirigida por {}|director {}|cinta de {}"),
        ("genero", "frase", "género {}|del tipo {}"),
        ("puntos", "decimal", "calificación {}|{} puntos|valorada en {}"),
        record=(
            "reparto",
            "actor:nombre papel:frase",
            "{actor} como {papel}|{actor} ({papel})|{papel}: {actor}",
        ),
    ),
    _domain(
        "Cultivo|Parcela|Huerto|Siembra",
        ("parcela", "codigo", "parcela {}|lote {}|terreno {}"),
        ("planta", "frase", "se siembra {}|planta {}|crece {}"),
        ("riego", "entero", "riego {}|{} riegos|regar {} veces"),
        ("cosecha", "dia", "cosecha {}|madura el {}"),
        record=(
            "surcos",
            "variedad:frase matas:entero altura:decimal",
            "{matas} matas de {variedad} de {altura} m|{variedad} {matas} {altura}|"
            "{matas} {variedad} con altura {altura}",
        ),
    ),
    _domain(
        "Red de equipos|Servidor|Soporte técnico|Falla de sistema",
        ("equipo", "codigo", "equipo {}|servidor {}|nodo {}"),
        ("error", "frase", "error {}|muestra {}|mensaje {}"),
        ("memoria", "porcentaje", "memoria {}|memoria al {}"),
        ("tecnico", "nombre", "atiende {}|técnico {}|asignado a {}"),
        ("resuelto", "sino", "resuelto {}|resuelto: {}"),
    ),
    _domain(
        "Elección|Votación|Asamblea|Escrutinio",
        ("distrito", "frase", "distrito {}|zona {}|municipio {}"),
        ("participacion", "porcentaje", "participación {}|votó el {}"),
        ("preside", "nombre", "preside {}|presidencia {}"),
        record=(
            "votos",
            "candidato:nombre votos:decimal",
            "{candidato} {votos} votos|{votos} votos por {candidato}|{candidato} ({votos})",
        ),
    ),
)


def fixed_keys() -> set[str]:
    """Return every fixed key of the answers."""
    found = {f.key for d in DOMAINS for f in d.fields}
    records = [d.record for d in DOMAINS if d.record]
    return found | {r.key for r in records} | {k for r in records for k, _ in r.keys} | {"v"}


def fixed_templates() -> set[str]:
    """Return every fixed opening, clause and record form."""
    found = {t for d in DOMAINS for t in d.openings} | {c for d in DOMAINS for f in d.fields for c in f.cues}
    return found | {form for d in DOMAINS if d.record for form in d.record.forms}
