"""Sentences of `ronda gateway backup|restore|audit`; problems are the gateway's own."""

from ronda_tools.texts import Text

TEXTS: dict[str, Text] = {
    "gateway.help.backup": Text(
        "Copia la base de datos mientras la pasarela trabaja, y verifica la copia desde los bytes "
        "firmados. Salida 0, o 2 si no se pudo.",
        "Copy the database while the gateway works, and verify the copy from the signed bytes. "
        "Exit 0, or 2 if it could not be done.",
    ),
    "gateway.help.restore": Text(
        "Pone una copia en el lugar de la base de datos, verificada antes; la anterior se "
        "conserva. Salida 0, o 2 si no se pudo (entonces nada cambió).",
        "Put a backup in the database's place, verified first; the old one is kept. Exit 0, or 2 "
        "if it could not be done (then nothing changed).",
    ),
    "gateway.help.audit": Text(
        "Vuelve a verificar cada segmento guardado, su cadena y cada fila que sale de él; dice "
        "qué difiere. No cambia nada. Salida 0 sin diferencias, 1 si las hay, 2 sin base de "
        "datos.",
        "Verify every stored segment, its chain and each row made of it again; say what differs. "
        "Changes nothing. Exit 0 without differences, 1 with some, 2 without a database.",
    ),
    "copies.help.file": Text("El archivo de la copia.", "The backup's file."),
    "copies.help.force": Text(
        "Hacerlo aunque el archivo exista (backup) o difiera de sus bytes firmados (restore).",
        "Do it even if the file exists (backup) or differs from its signed bytes (restore).",
    ),
    "copies.help.audited": Text(
        "Revisar esta copia en vez de la base de datos de la pasarela.",
        "Look at this backup instead of the gateway's database.",
    ),
    "copies.copy": Text("Copiando", "Copying"),
    "copies.verify": Text("Verificando", "Verifying"),
    "copies.made": Text(
        "Copia en {path}: {size} MiB, {segments} segmentos verificados, el último de {newest}. Su "
        "suma está al lado (.sha256).",
        "Backup in {path}: {size} MiB, {segments} segments verified, the last of {newest}. Its "
        "checksum is beside it (.sha256).",
    ),
    "copies.keys": Text(
        "No lleva claves: {key} y lo demás de {folder} se guardan aparte, una vez.",
        "It holds no keys: {key} and the rest of {folder} are kept elsewhere, once.",
    ),
    "copies.old": Text(
        "Es de un esquema anterior: se verificaron firmas y cadena, no las demás filas. Tras "
        "`ronda gateway migrate` se verifica todo.",
        "It has an older schema: signatures and chain were verified, the other rows were not. "
        "After `ronda gateway migrate` everything is.",
    ),
    "copies.restored": Text(
        "{database} es ahora la copia {path}: {segments} segmentos verificados, el último de "
        "{newest}.",
        "{database} is now the backup {path}: {segments} segments verified, the last of {newest}.",
    ),
    "copies.aside": Text(
        "La base de datos anterior está en {path}; bórrela cuando ya no haga falta.",
        "The old database is in {path}; delete it once it is not needed.",
    ),
    "copies.unsummed": Text(
        "aviso: la copia no tenía su .sha256 al lado; se verificó solo desde los bytes firmados",
        "warning: the backup lacked its .sha256; it was verified from the signed bytes alone",
    ),
    "copies.revoked": Text(
        "Revocados después de la copia, y ahora otra vez: {devices}.",
        "Revoked after the backup, and now again: {devices}.",
    ),
    "copies.unknown": Text(
        "Inscritos o habilitados después de la copia: {devices}. Vuelva a hacerlo con `ronda "
        "fleet enrol` y `ronda fleet enable`; hasta entonces esos equipos conservan lo suyo.",
        "Enrolled or enabled after the backup: {devices}. Do it again with `ronda fleet enrol` "
        "and `ronda fleet enable`; until then those handhelds keep what they have.",
    ),
    "copies.not_compared": Text(
        "aviso: la base de datos anterior no se puede leer; si después de la copia se revocó "
        "algún equipo, revóquelo otra vez",
        "warning: the old database cannot be read; if a handheld was revoked after the backup, "
        "revoke it again",
    ),
    "copies.next": Text(
        "Ahora: `ronda gateway run`. Los equipos conservan 7 días lo que ya tenía recibo; la "
        "pasarela ve qué le falta de cada uno y se lo pide. Los eventos que la central ya tenía "
        "pueden repetirse con el mismo id.",
        "Now: `ronda gateway run`. Handhelds keep what had its receipt for 7 days; the gateway "
        "sees what it lacks of each and asks for it. Events that the back office has may come "
        "again under the same id.",
    ),
    "copies.too_old": Text(
        "aviso: la copia tiene más de {days} días: lo que los equipos ya no guarden lo declararán "
        "perdido; está en la base de datos anterior y en los eventos de la central",
        "warning: the backup is older than {days} days: what the handhelds no longer keep they "
        "will declare lost; it is in the old database and in the back office's events",
    ),
    "copies.more": Text("… y {more} diferencias más", "… and {more} more differences"),
    "copies.sound": Text(
        "{path}: sin diferencias. {segments} segmentos, {visits} visitas y {rows} filas más "
        "salen iguales de los bytes firmados ({seconds} s).",
        "{path}: no differences. {segments} segments, {visits} visits and {rows} more rows come "
        "out the same from the signed bytes ({seconds} s).",
    ),
    "copies.differs": Text(
        "{path}: {count} diferencias en {segments} segmentos, {visits} visitas y {rows} filas más "
        "({seconds} s). Lo firmado manda: guarde este archivo, restaure la última copia buena, y "
        "vea docs/operations.md, «Audit».",
        "{path}: {count} differences in {segments} segments, {visits} visits and {rows} more rows "
        "({seconds} s). What is signed counts: keep this file, restore the last good backup, and "
        "see docs/operations.md, Audit.",
    ),
    "copies.broken": Text(
        "{count} segmentos firmados no siguen al anterior: la cadena del propio equipo está rota "
        "ahí (hay una alerta de cuando llegaron).",
        "{count} signed segments do not follow the one before: the handheld's own chain is broken "
        "there (there is an alert from when they came).",
    ),
}
