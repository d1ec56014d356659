"""Settings in Spanish, and why a value will not do in both languages.

The English of a setting is its description in settings.py. No logic beyond looking up.
"""

from typing import Any

from ronda_gateway.wording import Either

# "section" or "section.name" -> what is expected there; a test holds it against settings.py.
SPANISH = {
    "site": "La sede.",
    "site.name": "Nombre de la sede: parte de cada tema y del origen de los eventos.",
    "broker": "MQTT, del lado de los equipos.",
    "broker.host": "Host del broker MQTT que usan los equipos.",
    "broker.port": "Puerto TCP de ese broker.",
    "broker.topic_root": "Raíz de todos los temas; vacío es ronda/<nombre de la sede>.",
    "broker.embedded": "Arrancar el broker incluido (paquete iotcore) en host:port. Solo en "
    "loopback; no guarda nada entre arranques, y con recibos de extremo a extremo nada se pierde.",
    "broker.client_id": "Id de cliente MQTT; vacío es ronda-gateway-<sede>. Uno por pasarela.",
    "broker.username": "Usuario MQTT; vacío: ninguno.",
    "broker.password_file": "Archivo cuya primera línea es la contraseña MQTT; vacío: ninguna.",
    "broker.keepalive_s": "Keep-alive de MQTT en segundos.",
    "database": "Dónde guarda.",
    "database.file": "Archivo de la base de datos SQLite (WAL, synchronous FULL).",
    "database.busy_ms": "Cuánto esperar a otro que escribe, en milisegundos.",
    "keys": "La clave de la pasarela.",
    "keys.gateway": "Clave privada (P-256, PEM, modo 0600) que firma recibos y paquetes.",
    "keys.trust": "Paquete de confianza de la sede: nombra las claves de oficina que pueden "
    "firmar órdenes.",
    "ingest": "Grupos y cola.",
    "ingest.group": "Máximo de mensajes que se confirman en una transacción.",
    "ingest.queue": "Máximo de mensajes en espera; después se deja de leer de MQTT.",
    "fence": "Veredictos recalculados.",
    "fence.uere_dm": "Error del receptor por unidad de HDOP, en decímetros, con que se recalculan "
    "los veredictos; el mismo que en el board.toml de los equipos.",
    "fence.search_m": "Metros alrededor de un lugar solo geocodificado dentro de los que una "
    "visita puede abrirse como dirección por confirmar.",
    "fence.dwell_s": "Segundos que las posiciones deben haber seguido dentro antes de una visita "
    "abierta como dentro, en la puerta o en la entrada; con menos es una excepción.",
    "quarantine": "Límites de lo que no se pudo aceptar.",
    "quarantine.per_hour": "Mensajes guardados con sus bytes por equipo, motivo y hora; el resto "
    "se cuenta.",
    "quarantine.rows": "Máximo de mensajes sin autenticar que se guardan; los más viejos salen "
    "primero, con una alerta.",
    "quarantine.held_per_device": "Máximo de segmentos retenidos de un equipo inscrito y aún no "
    "habilitado.",
    "resend": "Pedir otra vez a los equipos lo que falta.",
    "resend.after_s": "Segundos que un hueco en un registro sigue abierto antes de pedir otra vez "
    "sus segmentos.",
    "resend.again_s": "Segundos antes de volver a pedir los mismos segmentos.",
    "feed": "Del lado de la central.",
    "feed.host": "Host del broker de la central; vacío: el de los equipos.",
    "feed.port": "Puerto del broker de la central.",
    "feed.username": "Usuario MQTT allí; vacío: ninguno.",
    "feed.password_file": "Archivo cuya primera línea es la contraseña de allí.",
    "feed.window": "Eventos publicados que el broker aún no confirmó.",
    "feed.max_bytes": "Mayor evento que admite el broker de la central, en bytes; los mayores se "
    "apartan con una alerta.",
    "feed.keep_days": "Días que un evento entregado permanece en la cola de salida.",
    "feed.confirm": "Un evento sale de la cola solo cuando el consumidor confirmó su id en "
    "cmd/confirm; hasta entonces se vuelve a publicar.",
    "feed.confirm_s": "Segundos que se espera una confirmación antes de volver a publicar; se "
    "duplican cada vez, hasta una hora.",
    "feed.confirm_alert_s": "Segundos sin confirmación del evento más antiguo tras los que se da "
    "una alerta.",
    "commands": "Órdenes de la central.",
    "commands.unsigned": "Obedecer órdenes de cmd/ que nadie firmó; solo si todos los brokers "
    "están en loopback.",
    "log": "Líneas de registro.",
    "log.format": "human: frases; json: un objeto por línea; auto: según el terminal.",
    "log.level": "La línea menos grave que se escribe.",
}

# pydantic's error type -> why, with the fields of its context.
_REASONS = {
    "string_type": ("debe ser un texto", "must be a text"),
    "int_type": ("debe ser un entero", "must be an integer"),
    "int_parsing": ("debe ser un entero", "must be an integer"),
    "int_parsing_size": ("número demasiado grande", "too large a number"),
    "int_from_float": ("debe ser un entero", "must be an integer"),
    "bool_type": ("debe ser true o false", "must be true or false"),
    "bool_parsing": ("debe ser true o false", "must be true or false"),
    "greater_than_equal": ("el mínimo es {ge}", "the least is {ge}"),
    "less_than_equal": ("el máximo es {le}", "the most is {le}"),
    "string_too_short": ("muy corto", "too short"),
    "string_too_long": ("más de {max_length} caracteres", "more than {max_length} characters"),
    "string_pattern_mismatch": ("no tiene la forma {pattern}", "is not of the form {pattern}"),
    "literal_error": ("vale uno de: {expected}", "one of: {expected}"),
    "model_type": ("debe ser una sección [{where}]", "must be a section [{where}]"),
    "dict_type": ("debe ser una sección [{where}]", "must be a section [{where}]"),
}


def reason(kind: str, message: str, where: str, context: dict[str, Any]) -> Either:
    """Why a value will not do; the validator's own English for a kind that is not in the table."""
    es, en = _REASONS.get(kind, ("no vale", "{message}"))
    fields = {**context, "where": where, "message": message}
    # A list of choices comes in English: 'a', 'b' or 'c'.
    spanish = {k: str(v).replace(" or ", " o ") for k, v in fields.items()}
    return Either(es.format(**spanish), en.format(**fields))
