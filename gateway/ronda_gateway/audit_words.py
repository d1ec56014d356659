"""What backup, restore and audit say: problems and differences by code, Spanish and English.

Part of the catalogue in `wording.py`, which takes them in.
"""

TEXTS: dict[str, tuple[str, str]] = {
    # what an audit finds: each names a table and a row
    "audit-damaged": (
        "SQLite no puede leer todo el archivo: {why}",
        "SQLite cannot read all of the file: {why}",
    ),
    "audit-reference": (
        "{table} {row}: se refiere a una fila de {parent} que no existe",
        "{table} {row}: refers to a row of {parent} that does not exist",
    ),
    "audit-key": (
        "{table} {row}: la clave guardada no es la que dice su identificador",
        "{table} {row}: the stored key is not the one its identifier names",
    ),
    "audit-signature": (
        "{table} {row}: los bytes guardados no son los que firmó el equipo ({reason}: {detail})",
        "{table} {row}: the stored bytes are not what the handheld signed ({reason}: {detail})",
    ),
    "audit-column": (
        "{table} {row}: {column} dice {stored} y los bytes firmados dicen {expected}",
        "{table} {row}: {column} says {stored} and the signed bytes say {expected}",
    ),
    "audit-missing": (
        "{table} {row}: falta una fila que está en los bytes firmados",
        "{table} {row}: a row is missing that the signed bytes hold",
    ),
    "audit-extra": (
        "{table} {row}: sobra; no está en ningunos bytes firmados",
        "{table} {row}: does not belong here; no signed bytes hold it",
    ),
    "audit-link": (
        "{table} {row}: la cadena figura como {stored} y según los bytes es {expected}",
        "{table} {row}: the chain is told as {stored} and by the bytes is {expected}",
    ),
    "audit-head": (
        "{table} {row}: {column} dice {stored} y los segmentos guardados dan {expected}",
        "{table} {row}: {column} says {stored} and the stored segments give {expected}",
    ),
    "audit-digest": (
        "{table} {row}: los bytes guardados no tienen la huella que se anotó al llegar",
        "{table} {row}: the stored bytes lack the digest that was noted when they came",
    ),
    "audit-verdict": (
        "{table} {row}: {which} se dijo {stored} y ahora resulta {expected} (si [fence] o la "
        "versión cambiaron después, esa es la causa)",
        "{table} {row}: {which} was told as {stored} and now comes out as {expected} (if [fence] "
        "or the version changed since, that is why)",
    ),
    # backup
    "backup-exists": (
        "{path} ya existe y no se ha tocado: elija otro nombre, o añada --force para reemplazarlo",
        "{path} exists and was left untouched: choose another name, or add --force to replace it",
    ),
    "backup-is-database": (
        "{path} es la propia base de datos de la pasarela: indique otro archivo",
        "{path} is the gateway's own database: name another file",
    ),
    "backup-no-room": (
        "no hay sitio para {path}: hacen falta {needed} MiB y quedan {free}; libere espacio o "
        "indique otro disco",
        "there is no room for {path}: {needed} MiB are needed and {free} are left; free some or "
        "name another disk",
    ),
    "backup-cannot-write": (
        "no se puede escribir {path} ({why}); no ha quedado nada a medias",
        "{path} cannot be written ({why}); nothing half made was left",
    ),
    "backup-cannot-read": (
        "no se puede leer {path} ({why}): si el disco falla, haga sitio en otro y repita",
        "{path} cannot be read ({why}): if the disk is failing, use another one and repeat",
    ),
    "backup-wrong": (
        "la copia no coincide con los bytes firmados y NO se ha guardado ({count} diferencias; la "
        "primera: {first}): vea `ronda gateway audit`",
        "the copy does not agree with the signed bytes and was NOT kept ({count} differences; the "
        "first: {first}): see `ronda gateway audit`",
    ),
    # restore
    "restore-missing": (
        "no existe la copia {path}: revise el nombre",
        "there is no backup {path}: check the name",
    ),
    "restore-not-a-backup": (
        "{path} no es una copia de una base de datos de Ronda ({why}); no se ha cambiado nada",
        "{path} is no backup of a Ronda database ({why}); nothing was changed",
    ),
    "restore-checksum": (
        "{path} no es el archivo que se guardó: su suma no es la de {sums}; use otra copia (no se "
        "ha cambiado nada)",
        "{path} is not the file that was made: its checksum is not the one in {sums}; use another "
        "backup (nothing was changed)",
    ),
    "restore-wrong": (
        "{path} no coincide con los bytes firmados y no se ha restaurado ({count} diferencias; la "
        "primera: {first}): use otra copia, o --force si no hay otra mejor",
        "{path} does not agree with the signed bytes and was not restored ({count} differences; "
        "the first: {first}): use another backup, or --force if there is no better one",
    ),
}
