"""Sentences of `ronda feed confirm` and `tail --confirm`, Spanish and English; data only."""

from ronda_tools.texts import Text

TEXTS = {
    "feed.help.confirm": Text(
        "Confirma a la pasarela los eventos que ya se guardaron (feed.confirm = true).",
        "Confirm to the gateway the events that are stored for good (feed.confirm = true).",
    ),
    "feed.help.confirm_ids": Text(
        "Ids de eventos; - los lee de la entrada, uno por línea.",
        "Ids of events; - reads them from the input, one a line.",
    ),
    "feed.help.tail_confirm": Text(
        "Confirma cada evento después de mostrarlo.", "Confirm each event after showing it."
    ),
    "feed.help.key": Text(
        "Clave de oficina que firma (por defecto keys/office.pem junto a gateway.toml).",
        "Office key that signs (default keys/office.pem beside gateway.toml).",
    ),
    "feed.help.unsigned": Text(
        "Sin firma: solo vale con commands.unsigned = true.",
        "Without a signature: only for commands.unsigned = true.",
    ),
    "feed.confirm_root": Text(
        "no se sabe a qué sede confirmar",
        "which site to confirm to is unknown",
        "use --config, o --broker con la raíz de los temas: mqtt://HOST:PUERTO/ronda/lima",
        "use --config, or --broker with the topic root: mqtt://HOST:PORT/ronda/lima",
    ),
    "feed.confirm_key": Text(
        "no se sabe con qué clave firmar",
        "which key to sign with is unknown",
        "indique --key keys/office.pem, o --unsigned si la pasarela lo admite",
        "name --key keys/office.pem, or --unsigned if the gateway allows it",
    ),
    "feed.confirm_none": Text(
        "no hay ids que confirmar",
        "there are no ids to confirm",
        "escríbalos, o páselos por la entrada con -",
        "write them, or pass them on the input with -",
    ),
    "feed.confirm_long": Text(
        "el id {id} no es de un evento: demasiado largo",
        "the id {id} is no event's: too long",
        "use los ids tal como llegaron",
        "use the ids as they came",
    ),
    "feed.confirmed": Text(
        "Enviadas al broker las confirmaciones de {count} eventos.",
        "Confirmations of {count} events handed to the broker.",
    ),
    "feed.not_sent": Text(
        "el broker {host}:{port} no tomó las confirmaciones ({why})",
        "the broker {host}:{port} did not take the confirmations ({why})",
        "revise broker y ACL, y repita: confirmar dos veces no hace daño",
        "check the broker and its ACL and do it again: confirming twice does no harm",
    ),
}
"""Code -> sentence."""
