"""What the gateway says to people: each problem and log line by code, Spanish and English.

A problem's text says what is wrong and what to do. No logic lives here; machines read the codes.
"""

import os
from typing import Literal, NamedTuple, get_args

from ronda_gateway import audit_words

Lang = Literal["es", "en"]

# code -> (Spanish, English)
TEXTS: dict[str, tuple[str, str]] = {
    # settings and files
    "config-missing": (
        "no existe {path}: créelo con `ronda site init`, o indique otro con --config",
        "{path} does not exist: make it with `ronda site init`, or name another with --config",
    ),
    "config-unreadable": (
        "no se puede leer {path} ({why}): revise permisos y que sea un archivo",
        "{path} cannot be read ({why}): check permissions and that it is a file",
    ),
    "config-too-big": (
        "{path} tiene más de 1 MiB: eso no es un gateway.toml",
        "{path} is larger than 1 MiB: that is no gateway.toml",
    ),
    "config-not-text": (
        "{path} no es texto UTF-8: ¿es el archivo correcto?",
        "{path} is not UTF-8 text: is it the right file?",
    ),
    "config-not-toml": (
        "{path} no es TOML válido ({why}): corrija esa línea",
        "{path} is not valid TOML ({why}): mend that line",
    ),
    "setting-missing": ("{where}: falta; añádalo", "{where}: missing; add it"),
    "setting-unknown": (
        "{where}: este ajuste no existe; quítelo o corrija el nombre",
        "{where}: there is no such setting; remove it or correct its name",
    ),
    "setting-wrong": (
        "{where}: el valor {value} no sirve ({why}); se espera: {wanted}",
        "{where}: the value {value} will not do ({why}); expected: {wanted}",
    ),
    "environment-wrong": (
        "la variable de entorno {where} no es JSON: quítela, o ponga un ajuste en cada una, como "
        "RONDA_BROKER__HOST",
        "the environment variable {where} is not JSON: remove it, or put one setting in each, as "
        "RONDA_BROKER__HOST",
    ),
    "embedded-not-loopback": (
        "broker.embedded: el broker incluido solo escucha en loopback y broker.host es {host}; "
        "use 127.0.0.1, o instale Mosquitto y ponga embedded = false",
        "broker.embedded: the embedded broker listens on loopback only and broker.host is {host}; "
        "use 127.0.0.1, or install Mosquitto and set embedded = false",
    ),
    "embedded-not-installed": (
        "broker.embedded: falta el paquete iotcore; instale ronda[sim], o ponga embedded = false",
        "broker.embedded: the package iotcore is missing; install ronda[sim], or set "
        "embedded = false",
    ),
    "port-in-use": (
        "el puerto {host}:{port} ya está en uso: cierre el otro programa o cambie broker.port",
        "port {host}:{port} is in use: close the other program or change broker.port",
    ),
    "broker-silent": (
        "ahora nadie responde en {host}:{port}; la pasarela arrancará y seguirá intentando",
        "nobody answers on {host}:{port} just now; the gateway will start and keep trying",
    ),
    "embedded-failed": (
        "el broker incluido no arrancó en {host}:{port} ({why})",
        "the embedded broker did not start on {host}:{port} ({why})",
    ),
    "outbox-too-big": (
        "feed.max_bytes ({value}) supera lo que admite el broker incluido ({limit}): bájelo",
        "feed.max_bytes ({value}) is above what the embedded broker takes ({limit}): lower it",
    ),
    "feed-half-set": (
        "feed.host y feed.port van juntos: ponga ambos, o ninguno para usar el mismo broker",
        "feed.host and feed.port go together: set both, or neither to use the same broker",
    ),
    "commands-not-loopback": (
        "commands.unsigned: las órdenes sin firma solo valen con el broker en loopback, y {host} "
        "no lo es; ponga unsigned = false y firme con la clave de oficina",
        "commands.unsigned: unsigned commands are for a broker on loopback only, and {host} is "
        "not; set unsigned = false and sign with the office key",
    ),
    "trust-unreadable": (
        "keys.trust: {path} no es un paquete de confianza que se pueda leer; con feed.confirm "
        "hace falta para saber quién puede firmar confirmaciones (`ronda site init` lo hace)",
        "keys.trust: {path} is no trust pack that can be read; feed.confirm needs it to know who "
        "may sign confirmations (`ronda site init` makes it)",
    ),
    "trust-no-office": (
        "keys.trust: {path} no nombra ninguna clave de oficina vigente: nadie podría confirmar",
        "keys.trust: {path} names no office key in force: nobody could confirm",
    ),
    "secret-unreadable": (
        "{where}: no se puede leer {path} ({why})",
        "{where}: {path} cannot be read ({why})",
    ),
    # keys
    "key-missing": (
        "{where}: no existe {path}; las claves de la sede las hace `ronda site init`, la de un "
        "equipo la da `ronda fleet show ID --key pem`",
        "{where}: {path} does not exist; `ronda site init` makes the site's keys, "
        "`ronda fleet show ID --key pem` gives a device's",
    ),
    "key-unreadable": (
        "{where}: no se puede leer {path} ({why})",
        "{where}: {path} cannot be read ({why})",
    ),
    "key-empty": ("{where}: {path} está vacío", "{where}: {path} is empty"),
    "key-too-big": (
        "{where}: {path} es demasiado grande para ser una clave",
        "{where}: {path} is too large to be a key",
    ),
    "key-format": (
        "{where}: {path} no es una clave en PEM, JWK ni COSE_Key",
        "{where}: {path} is no key in PEM, JWK or COSE_Key form",
    ),
    "key-encrypted": (
        "{where}: {path} está cifrada con contraseña; la pasarela arranca sola y la necesita en "
        "claro, protegida con permisos 0600",
        "{where}: {path} is protected by a password; the gateway starts unattended and needs it "
        "in the clear, guarded by mode 0600",
    ),
    "key-not-p256": (
        "{where}: {path} es {what}; se necesita una clave EC P-256",
        "{where}: {path} is {what}; an EC P-256 key is needed",
    ),
    "key-private-given": (
        "{where}: {path} es una clave PRIVADA y aquí va la pública; no la comparta: borre esa "
        "copia y use la .pub.pem",
        "{where}: {path} is a PRIVATE key where the public one belongs; do not share it: delete "
        "that copy and use the .pub.pem",
    ),
    "key-public-given": (
        "{where}: {path} es una clave pública y aquí hace falta la privada",
        "{where}: {path} is a public key where the private one is needed",
    ),
    "key-exposed": (
        "{where}: otros usuarios pueden leer {path}; haga chmod 600",
        "{where}: other users can read {path}; chmod 600 it",
    ),
    # database
    "db-missing": (
        "no existe la base de datos {path}: créela con `ronda gateway migrate`",
        "there is no database {path}: make it with `ronda gateway migrate`",
    ),
    "db-cannot-open": (
        "no se puede abrir la base de datos {path} ({why}): revise ruta y permisos",
        "the database {path} cannot be opened ({why}): check path and permissions",
    ),
    "db-not-a-database": (
        "{path} no es una base de datos de Ronda; no se ha tocado: indique otra ruta",
        "{path} is no Ronda database; it was left untouched: name another path",
    ),
    "db-not-writable": (
        "no se puede escribir en la base de datos {path} ({why}): revise permisos y disco",
        "the database {path} cannot be written ({why}): check permissions and disk",
    ),
    "db-in-use": (
        "otra pasarela está usando la base de datos {path}: solo una a la vez; detenga aquella, o "
        "indique otra base de datos en database.file",
        "another gateway is using the database {path}: one at a time; stop that one, or name "
        "another database in database.file",
    ),
    "db-not-migrated": (
        "la base de datos {path} no tiene el esquema actual: ejecute `ronda gateway migrate`",
        "the database {path} lacks the current schema: run `ronda gateway migrate`",
    ),
    "db-too-new": (
        "la base de datos {path} es de una versión más nueva de Ronda ({revision}): actualice "
        "este programa; no se ha tocado",
        "the database {path} belongs to a newer Ronda ({revision}): upgrade this program; it was "
        "left untouched",
    ),
    # site
    "site-exists": (
        "{path} ya existe y no está vacío: elija otra carpeta (no se ha tocado nada)",
        "{path} exists and is not empty: choose another folder (nothing was touched)",
    ),
    "site-cannot-write": (
        "no se puede escribir en {path} ({why})",
        "{path} cannot be written ({why})",
    ),
    "site-name": (
        "el nombre de sede {value} no sirve: de 1 a 24 letras minúsculas, cifras o guiones",
        "the site name {value} will not do: 1 to 24 lower-case letters, digits or hyphens",
    ),
    "site-broken": (
        "en {path} falta o está dañado {what}: no es una carpeta de `ronda site init` completa",
        "{what} is missing or damaged in {path}: it is no complete folder of `ronda site init`",
    ),
    "trust-kid": (
        "el paquete de confianza no nombra ninguna clave {kid}",
        "the trust pack names no key {kid}",
    ),
    "trust-role": (
        "{role} no es un papel: gateway, office, release o bench",
        "{role} is no role: gateway, office, release or bench",
    ),
    "trust-twice": (
        "la clave {kid} ya está en el paquete de confianza, o es la raíz",
        "the key {kid} is in the trust pack already, or is the root",
    ),
    "trust-too-many": (
        "{count} claves no caben en un paquete de confianza (64)",
        "{count} keys do not fit a trust pack (64)",
    ),
    # fleet
    "device-id": (
        "el id {value} no sirve: de 3 a 24 letras minúsculas, cifras o guiones",
        "the id {value} will not do: 3 to 24 lower-case letters, digits or hyphens",
    ),
    "device-unknown": (
        "no hay ningún equipo {device}: vea `ronda fleet list`",
        "there is no device {device}: see `ronda fleet list`",
    ),
    "device-exists": (
        "{device} ya está inscrito con otra clave ({kid}): use otro id",
        "{device} is enrolled already with another key ({kid}): use another id",
    ),
    "device-revoked": (
        "{device} está revocado: un equipo revocado no se vuelve a habilitar",
        "{device} is revoked: a revoked device is not enabled again",
    ),
    "key-taken": (
        "esa clave ({kid}) ya es de {device}: cada equipo lleva la suya",
        "that key ({kid}) belongs to {device} already: each device has its own",
    ),
    "key-is-the-sites": (
        "esa clave ({kid}) es una de la sede, no de un equipo",
        "that key ({kid}) is one of the site's, not a device's",
    ),
    # resend requests
    "resend-range": (
        "de {first} a {last} no es un tramo de segmentos: empiezan en 1 y FROM no supera a TO",
        "{first} to {last} is no range of segments: they begin at 1 and FROM is not beyond TO",
    ),
    "log-unknown": (
        "{log} no es el id de un registro: son 16 cifras hexadecimales; vea `ronda fleet show "
        "{device}`",
        "{log} is no log id: 16 hexadecimal digits; see `ronda fleet show {device}`",
    ),
    "log-none": (
        "no hay nada de {device} todavía: indique el registro con --log",
        "there is nothing of {device} yet: name the log with --log",
    ),
    # log lines of a running gateway
    "started": (
        "pasarela en marcha: sede {site}, broker {host}:{port}, temas bajo {root}",
        "gateway running: site {site}, broker {host}:{port}, topics under {root}",
    ),
    "stopped": (
        "pasarela detenida: {stored} segmentos guardados",
        "gateway stopped: {stored} segments stored",
    ),
    "broker_trying": ("conectando con el broker {host}:{port}", "trying the broker {host}:{port}"),
    "broker_connected": ("conectado con {host}:{port}", "connected to {host}:{port}"),
    "broker_unreachable": (
        "sin broker en {host}:{port} ({why}); reintento en {wait} s",
        "no broker at {host}:{port} ({why}); trying again in {wait} s",
    ),
    "broker_lost": (
        "se perdió la conexión con {host}:{port} ({why}); reintento en {wait} s",
        "lost the connection to {host}:{port} ({why}); trying again in {wait} s",
    ),
    "broker_restarted": (
        "el broker incluido se había parado; arrancado de nuevo en {host}:{port}",
        "the embedded broker had stopped; started again on {host}:{port}",
    ),
    "embedded_broker": (
        "broker incluido en {host}:{port}; no guarda nada entre arranques",
        "embedded broker on {host}:{port}; it keeps nothing over a restart",
    ),
    "commit_failed": (
        "no se pudo guardar un grupo de {messages} mensajes ({why}); sin acuse ni recibo, "
        "reintento en {wait} s",
        "a group of {messages} messages could not be stored ({why}); no ack, no receipt, trying "
        "again in {wait} s",
    ),
    "outbox_failed": (
        "no se pudo leer o marcar la cola de salida ({why}); reintento en {wait} s",
        "the outbox could not be read or marked ({why}); trying again in {wait} s",
    ),
    "outbox_fault": (
        "fallo interno al reenviar; se sigue intentando",
        "internal fault while forwarding; trying on",
    ),
    "set_aside": (
        "el evento {id} no cabe en el broker y queda apartado ({why})",
        "event {id} does not fit the broker and is set aside ({why})",
    ),
    "command_refused": (
        "orden en {topic} rechazada: {reason} (clave {kid})",
        "command on {topic} refused: {reason} (key {kid})",
    ),
    "commands_denied": (
        "el broker no deja leer {topic}: sin confirmaciones todo se publica otra vez; corrija sus "
        "ACL",
        "the broker does not let us read {topic}: without confirmations everything is published "
        "again; mend its ACL",
    ),
    "confirm_lag": (
        "{count} eventos sin confirmar; el más antiguo, desde hace {age} s",
        "{count} events are not confirmed, the oldest for {age} s",
    ),
    "confirm_off": (
        "feed.confirm está apagado: {count} eventos que el broker ya tiene dejan de esperar",
        "feed.confirm is off: {count} events that the broker has already wait no longer",
    ),
    "quarantined": (
        "mensaje en cuarentena de {device}: {reason} ({detail})",
        "message of {device} quarantined: {reason} ({detail})",
    ),
    "resend_asked": (
        "pedidos otra vez a {device} los segmentos {first} a {last} ({reason})",
        "asked {device} for segments {first} to {last} again ({reason})",
    ),
    "receipt_failed": (
        "no se pudo firmar un recibo para {device} ({why}); lo guardado está a salvo",
        "a receipt for {device} could not be signed ({why}); what is stored is safe",
    ),
    "message_failed": (
        "un fallo interno impidió tratar un mensaje de {device}; queda en cuarentena",
        "an internal fault kept a message of {device} from being treated; it is quarantined",
    ),
    "recorder_failed": (
        "fallo interno al guardar; se sigue con lo siguiente",
        "internal fault while storing; going on",
    ),
    "warning": ("aviso: {text}", "warning: {text}"),
    **audit_words.TEXTS,
}


class Either(NamedTuple):
    """A field of a text that is itself words: in Spanish and in English."""

    es: str
    en: str

    def __str__(self) -> str:
        return self[get_args(Lang).index(language())]


class Problem(NamedTuple):
    """One thing wrong, by code, with the fields its text names."""

    code: str
    fields: dict[str, object]

    def text(self, lang: Lang | None = None) -> str:
        """The sentence for people."""
        return say(self.code, lang, **self.fields)


class SetupError(Exception):
    """The operator must mend something before this can go on; nothing stored was touched."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(p.text() for p in problems))
        self.problems = list(problems)


def problem(code: str, **fields: object) -> Problem:
    """A Problem of a code in TEXTS."""
    return Problem(code, fields)


def setup_error(code: str, **fields: object) -> SetupError:
    """A SetupError of one problem."""
    return SetupError(Problem(code, fields))


def language() -> Lang:
    """The language of people's texts: RONDA_LANG, Spanish unless it says English."""
    wanted = os.environ.get("RONDA_LANG", "es")[:2].lower()
    return "en" if wanted == "en" else "es"


def say(code: str, lang: Lang | None = None, **fields: object) -> str:
    """The text of a code in a language (default: RONDA_LANG); KeyError for an unknown code."""
    chosen = lang or language()
    at = get_args(Lang).index(chosen)
    words = {k: v[at] if isinstance(v, Either) else v for k, v in fields.items()}
    return TEXTS[code][at].format(**{k: printable(v) for k, v in words.items()})


def printable(value: object) -> str:
    """A value as one safe line: what came from outside may not move the cursor or scroll."""
    text = str(value)
    safe = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return safe if len(safe) <= 300 else safe[:297] + "..."
