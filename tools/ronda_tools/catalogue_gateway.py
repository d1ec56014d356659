"""Sentences of `ronda site`, `ronda gateway` and `ronda fleet`; problems are the gateway's own."""

from ronda_tools.texts import Text

TEXTS: dict[str, Text] = {
    "gw.help.config": Text(
        "gateway.toml (por defecto $RONDA_CONFIG o ./gateway.toml).",
        "gateway.toml (default $RONDA_CONFIG or ./gateway.toml).",
    ),
    # ---- ronda site ----------------------------------------------------------------------
    "site.help": Text("La sede: sus claves y su carpeta.", "The site: its keys and its folder."),
    "site.help.init": Text(
        "Crea la carpeta de una sede: claves, gateway.toml, base de datos, paquete de confianza.",
        "Make a site's folder: keys, gateway.toml, database, trust pack.",
    ),
    "site.help.folder": Text(
        "Carpeta que se creará (vacía o inexistente).", "Folder to make (empty or absent)."
    ),
    "site.help.name": Text(
        "Nombre de la sede: minúsculas, cifras y guiones; parte de cada tema MQTT.",
        "Name of the site: lower-case letters, digits, hyphens; part of every MQTT topic.",
    ),
    "site.help.host": Text("Host del broker MQTT.", "Host of the MQTT broker."),
    "site.help.port": Text("Puerto del broker MQTT.", "Port of the MQTT broker."),
    "site.help.embedded": Text(
        "Que la pasarela lleve su propio broker (banco o demo, solo loopback).",
        "Let the gateway run its own broker (bench or demo, loopback only).",
    ),
    "site.help.trust": Text(
        "Firma con la raíz un paquete de confianza nuevo y lo deja en DIR/trust.pack; se envía "
        "con `ronda trust push`. Hace falta offline/root.pem.",
        "Sign another trust pack with the root and leave it in DIR/trust.pack; `ronda trust push` "
        "sends it. Needs offline/root.pem.",
    ),
    "site.help.add": Text(
        "Clave que se añade: ROL=ARCHIVO (gateway, office, release, bench; clave pública).",
        "A key to add: ROLE=FILE (gateway, office, release, bench; a public key).",
    ),
    "site.help.revoke": Text(
        "kid de una clave que deja de valer.", "kid of a key that is no longer in force."
    ),
    "site.help.at": Text("Carpeta de la sede.", "The site's folder."),
    "site.trusted": Text(
        "Paquete de confianza {version} en {path}: {count} claves, {revoked} revocadas. Envíelo "
        "con `ronda trust push`.",
        "Trust pack {version} in {path}: {count} keys, {revoked} revoked. Send it with "
        "`ronda trust push`.",
    ),
    "site.add": Text(
        "--add {value}: se escribe ROL=ARCHIVO",
        "--add {value}: write ROLE=FILE",
    ),
    "site.kid": Text(
        "{value} no es un kid",
        "{value} is no kid",
        "son 16 cifras hexadecimales",
        "16 hexadecimal digits",
    ),
    "site.made": Text("Sede {name} creada en {folder}.", "Site {name} made in {folder}."),
    "site.root": Text(
        "Huella de la raíz, la que fija cada equipo: {thumbprint}",
        "Thumbprint of the root, which every handheld pins: {thumbprint}",
    ),
    "site.offline": Text(
        "LLÉVESE {folder} de esta máquina: con esas claves (root, release) se firma en quién "
        "confían los equipos. Guarde dos copias fuera de línea y bórrela de aquí.",
        "TAKE {folder} AWAY from this machine: those keys (root, release) sign whom the handhelds "
        "trust. Keep two copies offline and delete it here.",
    ),
    "site.next": Text(
        "Siga con: ronda gateway check --config {config}",
        "Go on with: ronda gateway check --config {config}",
    ),
    # ---- ronda gateway -------------------------------------------------------------------
    "gateway.help": Text(
        "La pasarela: recibe, verifica, guarda, acusa y reenvía.",
        "The gateway: receives, verifies, stores, receipts and forwards.",
    ),
    "gateway.help.run": Text(
        "Pone en marcha la pasarela hasta Ctrl-C o SIGTERM.",
        "Run the gateway until Ctrl-C or SIGTERM.",
    ),
    "gateway.help.check": Text(
        "Revisa los ajustes y todo a lo que apuntan; explica cada fallo. Salida 0, o 1 si hay.",
        "Look at the settings and all they point to; explain every fault. Exit 0, or 1 if any.",
    ),
    "gateway.help.migrate": Text(
        "Crea la base de datos o la lleva al esquema actual.",
        "Make the database, or bring it to the current schema.",
    ),
    "gateway.ok": Text(
        "Todo en orden: sede {site}, broker {host}:{port}, base de datos {database}.",
        "All in order: site {site}, broker {host}:{port}, database {database}.",
    ),
    "gateway.wrong": Text("falla: {text}", "wrong: {text}"),
    "gateway.warned": Text("aviso: {text}", "warning: {text}"),
    "gateway.migrated": Text(
        "{path}: esquema {before} -> {after}.", "{path}: schema {before} -> {after}."
    ),
    "gateway.current": Text(
        "{path}: ya tiene el esquema actual ({after}).",
        "{path}: has the current schema ({after}) already.",
    ),
    "gateway.empty": Text("(ninguno)", "(none)"),
    # ---- ronda fleet ---------------------------------------------------------------------
    "fleet.help": Text(
        "Los equipos de la sede y sus claves.", "The site's handhelds, their keys."
    ),
    "fleet.help.enrol": Text(
        "Da a conocer un equipo y su clave pública. Inscrito no es habilitado.",
        "Make a device and its public key known. Enrolled is not enabled.",
    ),
    "fleet.help.enable": Text(
        "Acepta los segmentos de un equipo inscrito, también los que ya esperan.",
        "Accept an enrolled device's segments, also those that wait already.",
    ),
    "fleet.help.list": Text("Lista los equipos.", "List the devices."),
    "fleet.help.show": Text("Muestra un equipo.", "Show one device."),
    "fleet.help.device": Text("Id del equipo.", "Id of the device."),
    "fleet.help.key": Text(
        "Clave pública del equipo: PEM, JWK o COSE_Key.",
        "Public key of the device: PEM, JWK or COSE_Key.",
    ),
    "fleet.help.key_form": Text(
        "Solo su clave pública, en PEM, JWK o COSE_Key (binaria; en hexadecimal en un terminal).",
        "Only its public key, as PEM, JWK or COSE_Key (binary; in hex on a terminal).",
    ),
    "fleet.enrolled": Text(
        "{device} inscrito con la clave {kid}. Otra persona lo habilita: ronda fleet enable "
        "{device}",
        "{device} enrolled with key {kid}. A second person enables it: ronda fleet enable "
        "{device}",
    ),
    "fleet.known": Text(
        "{device} ya estaba inscrito con la clave {kid}; nada cambió.",
        "{device} was enrolled with key {kid} already; nothing changed.",
    ),
    "fleet.enabled": Text(
        "{device} habilitado; {held} segmentos suyos esperaban.",
        "{device} enabled; {held} of its segments were waiting.",
    ),
    "fleet.was_enabled": Text(
        "{device} ya estaba habilitado; nada cambió.",
        "{device} was enabled already; nothing changed.",
    ),
    "fleet.none": Text(
        "No hay equipos: inscriba uno con `ronda fleet enrol`.",
        "There are no devices: enrol one with `ronda fleet enrol`.",
    ),
    "fleet.state.enrolled": Text("inscrito", "enrolled"),
    "fleet.state.enabled": Text("habilitado", "enabled"),
    "fleet.state.revoked": Text("revocado", "revoked"),
    "fleet.column.id": Text("equipo", "device"),
    "fleet.column.state": Text("estado", "state"),
    "fleet.column.online": Text("en línea", "online"),
    "fleet.online.yes": Text("sí", "yes"),
    "fleet.online.no": Text("no", "no"),
    "fleet.online.unknown": Text("-", "-"),
    "fleet.line.said": Text(
        "dice de sí mismo: en línea {online} ({at}), último segmento {seq}, sin recibo {unsent}",
        "says of itself: online {online} ({at}), last segment {seq}, without receipt {unsent}",
    ),
    "fleet.column.segments": Text("segmentos", "segments"),
    "fleet.column.visits": Text("visitas", "visits"),
    "fleet.column.held": Text("esperan", "waiting"),
    "fleet.column.quarantined": Text("cuarentena", "quarantine"),
    "fleet.column.last": Text("último (UTC)", "last (UTC)"),
    "fleet.line.keys": Text("claves: {kids}", "keys: {kids}"),
    "fleet.line.when": Text(
        "inscrito {enrolled}; habilitado {enabled}", "enrolled {enrolled}; enabled {enabled}"
    ),
    "fleet.line.counts": Text(
        "{segments} segmentos, {visits} visitas, {held} esperan, {quarantined} en cuarentena",
        "{segments} segments, {visits} visits, {held} waiting, {quarantined} quarantined",
    ),
    "fleet.line.log": Text(
        "registro {log}: completo hasta {upto}, último visto {max_seq}",
        "log {log}: complete up to {upto}, last seen {max_seq}",
    ),
    "fleet.never": Text("nunca", "never"),
}
