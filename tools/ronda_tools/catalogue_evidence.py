"""Sentences of what was changed in evidence, and of how several segments hang together."""

from ronda_tools.texts import Text

TEXTS = {
    "evidence.help.complete": Text(
        "Lo dado debe ser un registro entero desde su primer segmento: un hueco es un error.",
        "What is given must be a whole log from its first segment on: a gap is an error.",
    ),
    "evidence.searching": Text(
        "Se busca qué cambió (unos segundos)…", "Looking for what was changed (some seconds)…"
    ),
    "evidence.changed_byte": Text(
        "cambio: en el byte {at} dice {found}; con {was} todo cuadra. Está en {place}",
        "change: byte {at} says {found}; with {was} everything fits. It lies in {place}",
    ),
    "evidence.not_located": Text(
        "cambio: no se puede señalar el campo; no es un solo byte, o la clave no es la suya",
        "change: the field cannot be told; it is more than one byte, or the key is not its own",
    ),
    "evidence.place.framing": Text("el armazón CBOR", "the CBOR framing"),
    "evidence.place.protected": Text(
        "la cabecera protegida de COSE (algoritmo y kid)",
        "COSE's protected header (algorithm and kid)",
    ),
    "evidence.place.signature": Text("la firma", "the signature"),
    "evidence.place.header": Text("la cabecera, campo {field}", "the header, field {field}"),
    "evidence.place.part": Text("la parte {part}, campo {field}", "part {part}, field {field}"),
    "evidence.place.part_only": Text("la parte {part}", "part {part}"),
    "evidence.log_fork": Text(
        "registro {log} de {device}: hay dos segmentos {seq} distintos (bifurcación)",
        "log {log} of {device}: there are two different segments {seq} (a fork)",
    ),
    "evidence.log_gap": Text(
        "registro {log} de {device}: faltan los segmentos {first} a {last}",
        "log {log} of {device}: segments {first} to {last} are missing",
    ),
    "evidence.log_gap_one": Text(
        "registro {log} de {device}: falta el segmento {first}",
        "log {log} of {device}: segment {first} is missing",
    ),
    "evidence.log_lost": Text(
        "registro {log} de {device}: los segmentos {first} a {last} los declaró perdidos el "
        "propio equipo, firmado en su segmento {by} ({reason}): no están, y se sabe por qué",
        "log {log} of {device}: segments {first} to {last} were declared lost by the device "
        "itself, signed in its segment {by} ({reason}): they are not here, and it is known why",
    ),
    "evidence.log_unlinked": Text(
        "registro {log} de {device}: el segmento {seq} no sigue al {before} que se dio",
        "log {log} of {device}: segment {seq} does not follow the {before} that was given",
    ),
    "evidence.log_summary": Text(
        "registro {log} de {device}: {count} segmentos, del {first} al {last}; {linked} enlaces "
        "comprobados",
        "log {log} of {device}: {count} segments, {first} to {last}; {linked} links checked",
    ),
    "evidence.log_continues": Text(
        "registro {log} de {device}: continúa donde terminó el {older} (segmento {seq}; {reason})",
        "log {log} of {device}: goes on where {older} ended (segment {seq}; {reason})",
    ),
    "evidence.log_tail": Text(
        "registro {log} de {device}: dice seguir al segmento {seq} de {older} ({reason}), y lo "
        "dado de ese registro termina en otro, el {end}",
        "log {log} of {device}: says that it follows segment {seq} of {older} ({reason}), and "
        "what was given of that log ends with another, {end}",
    ),
}
