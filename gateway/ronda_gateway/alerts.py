"""Alerts for feed/site/alerts: what each kind means and what to do; ids are stable.

An alert names devices, segments and visits, never a debtor, a case or an answer.
"""

from typing import Any

from ronda_gateway.wording import language, printable

# kind -> (severity, (what es, what en), (what to do es, en))
KINDS: dict[str, tuple[str, tuple[str, str], tuple[str, str]]] = {
    "quarantined": (
        "warning",
        (
            "un mensaje no se pudo aceptar ({reason}: {detail}); quedó guardado tal como llegó",
            "a message could not be accepted ({reason}: {detail}); it is kept as it came",
        ),
        (
            "unknown_device: inscriba el equipo. wrong_topic o bad_signature: revise las ACL del "
            "broker y quién usa esa identidad. undecodable: vea quién publica ahí",
            "unknown_device: enrol the device. wrong_topic or bad_signature: check the broker's "
            "ACL and who uses that identity. undecodable: see who publishes there",
        ),
    ),
    "quarantine_folded": (
        "warning",
        (
            "demasiados mensajes rechazados por {reason} en una hora; desde aquí solo se cuentan",
            "too many messages refused for {reason} within an hour; from here on only counted",
        ),
        (
            "busque el origen de la avalancha y córtelo en el broker",
            "find where the flood comes from and stop it at the broker",
        ),
    ),
    "quarantine_total": (
        "warning",
        (
            "{count} mensajes más rechazados por {reason} en esa hora, contados y no guardados",
            "{count} more messages refused for {reason} in that hour, counted and not kept",
        ),
        ("nada, si la avalancha terminó", "nothing, if the flood is over"),
    ),
    "quarantine_purged": (
        "warning",
        (
            "la cuarentena está llena: se borraron los {count} mensajes sin firma más antiguos",
            "the quarantine is full: the {count} oldest unsigned messages were deleted",
        ),
        (
            "suba quarantine.rows, o corte el origen",
            "raise quarantine.rows, or stop the source",
        ),
    ),
    "fork": (
        "alarm",
        (
            "el mismo número de segmento llegó con otro contenido, ambos firmados: hay dos copias "
            "de la clave, o la memoria volvió atrás",
            "the same segment number came with other contents, both signed: there are two copies "
            "of the key, or the storage was rolled back",
        ),
        (
            "retire el equipo, compare ambos registros y revoque la clave si hay dos",
            "take the handheld in, compare both records, revoke the key if there are two",
        ),
    ),
    "revoked": (
        "alarm",
        (
            "llegó un segmento de un equipo revocado; quedó aparte",
            "a segment of a revoked device arrived; it was set apart",
        ),
        ("averigüe dónde está el equipo", "find out where the device is"),
    ),
    "gap": (
        "warning",
        (
            "faltan los segmentos {first} a {last}; los posteriores ya se reenviaron",
            "segments {first} to {last} are missing; later ones were forwarded",
        ),
        (
            "espere a que el equipo vuelva a tener red; si no llegan, tráigalo a la central",
            "wait until the handheld has network again; if they do not come, bring it in",
        ),
    ),
    "chain_broken": (
        "alarm",
        (
            "el segmento {seq} no encadena con el {neighbour}: algo se cambió, quitó o insertó",
            "segment {seq} does not chain to {neighbour}: something was changed, removed or added",
        ),
        (
            "conserve el equipo y verifique ambos con `ronda evidence verify`",
            "keep the handheld and verify both with `ronda evidence verify`",
        ),
    ),
    "entries_missing": (
        "alarm",
        (
            "faltan los registros {first} a {last} dentro de una cadena completa",
            "entries {first} to {last} are missing within a complete chain",
        ),
        (
            "revise los eventos del equipo (recuperación, memoria llena) y su versión",
            "check the handheld's events (recovery, storage full) and its version",
        ),
    ),
    "entries_repeated": (
        "alarm",
        (
            "los registros {first} a {last} vinieron en dos segmentos",
            "entries {first} to {last} came in two segments",
        ),
        ("revise la versión del equipo", "check the handheld's version"),
    ),
    "log_replaced": (
        "alarm",
        (
            "el equipo empezó un registro nuevo; del anterior faltan {missing} segmentos",
            "the handheld began a new log; {missing} segments of the one before are missing",
        ),
        (
            "si nadie lo formateó a propósito, retírelo: los que faltan pueden estar perdidos",
            "if nobody formatted it on purpose, take it in: the missing ones may be lost",
        ),
    ),
    "declared_lost": (
        "alarm",
        (
            "el equipo declara ilegibles los segmentos {first} a {last}: {why}",
            "the handheld declares segments {first} to {last} unreadable: {why}",
        ),
        ("tráigalo a la central para leer su memoria", "bring it in to have its storage read"),
    ),
    "lost_refused": (
        "alarm",
        (
            "el equipo declara perdidos los segmentos {first} a {last} del registro {log} y no "
            "cuenta ({why})",
            "the handheld declares segments {first} to {last} of log {log} lost, which does not "
            "count ({why})",
        ),
        (
            "here: los tenemos, no se pierde nada; si nadie los pidió, revise el equipo. range, "
            "form, unknown_log, too_many: revise su firmware. fork: retire el equipo, hay dos "
            "copias de la clave",
            "here: we have them, nothing is lost; unless somebody asked for them examine the "
            "handheld. range, form, unknown_log, too_many: examine its firmware. fork: take the "
            "handheld in, there are two copies of the key",
        ),
    ),
    "lost_found": (
        "warning",
        (
            "llegó el segmento {seq}, que el equipo había declarado perdido",
            "segment {seq}, which the handheld had declared lost, came after all",
        ),
        (
            "nada se perdió; si vuelve a pasar, traiga el equipo: su memoria falla",
            "nothing was lost; if it happens again bring the handheld in: its storage fails",
        ),
    ),
    "verdict_mismatch": (
        "alarm",
        (
            "el veredicto del cerco calculado aquí no es el del equipo",
            "the fence verdict computed here is not the handheld's",
        ),
        (
            "compruebe que fence.uere_dm sea el de la placa; si lo es, revise el firmware",
            "check that fence.uere_dm is the board's; if so, examine the firmware",
        ),
    ),
    "bad_fence": (
        "alarm",
        (
            "el lugar con que el equipo juzgó la visita no sirve como cerco ({why})",
            "the place against which the handheld judged the visit is no fence ({why})",
        ),
        (
            "revise el firmware del equipo: uno sano no abre visitas en ese lugar; corrija el "
            "lugar del caso",
            "examine the handheld's firmware: a sound one opens no visit there; correct the "
            "case's place",
        ),
    ),
    "correction_refused": (
        "alarm",
        (
            "una corrección firmada de la visita {visit_id} no vale ({why}); queda como estaba",
            "a signed correction of visit {visit_id} does not hold ({why}); the visit stands",
        ),
        (
            "other_gestor, after_shift: pregunte a quien llevaba el equipo. not_a_visit, "
            "before_visit, not_closed: revise el firmware",
            "other_gestor, after_shift: ask whoever carried the handheld. not_a_visit, "
            "before_visit, not_closed: examine the firmware",
        ),
    ),
    "correction_unknown": (
        "warning",
        (
            "una corrección nombra la visita {visit_id}, que aún no ha llegado",
            "a correction names visit {visit_id}, which has not come yet",
        ),
        (
            "espere a que el equipo termine de enviar; si la visita no llega, tráigalo",
            "wait until the handheld has sent everything; if the visit never comes, bring it in",
        ),
    ),
    "policy_mismatch": (
        "alarm",
        (
            "la visita se abrió de un modo que su veredicto no permite",
            "the visit was opened in a way that its verdict does not allow",
        ),
        ("revise el firmware de ese equipo", "examine that handheld's firmware"),
    ),
    "unreadable": (
        "alarm",
        (
            "el segmento {seq} está firmado pero no se puede leer ({why}); queda guardado",
            "segment {seq} is signed but cannot be read ({why}); it is kept",
        ),
        (
            "actualice la pasarela; si ya está al día, revise el firmware del equipo",
            "upgrade the gateway; if it is current, examine the handheld's firmware",
        ),
    ),
    "parts_withheld": (
        "warning",
        (
            "el segmento {seq} llegó sin sus partes {parts}: alguien se las quitó en el camino; "
            "sin recibo, el equipo lo volverá a enviar entero",
            "segment {seq} came without its parts {parts}: somebody took them out on the way; "
            "without a receipt the handheld will send the whole one again",
        ),
        (
            "revise quién puede escribir en el broker; el segmento sin partes quedó en cuarentena",
            "see who may write on the broker; the segment without parts is in quarantine",
        ),
    ),
    "held_full": (
        "warning",
        (
            "el equipo está inscrito y sin habilitar, y ya hay {count} segmentos suyos esperando",
            "the device is enrolled and not enabled, and {count} of its segments wait already",
        ),
        (
            "habilítelo con `ronda fleet enable`; el equipo conserva lo que no cupo",
            "enable it with `ronda fleet enable`; the handheld keeps what did not fit",
        ),
    ),
    "pack_refused": (
        "warning",
        (
            "el equipo rechazó el paquete {name} {version}: {why}",
            "the handheld refused the pack {name} {version}: {why}",
        ),
        (
            "signer, signature: compruebe el paquete de confianza del equipo. time, expired: "
            "envíe otro. space, memory: se vuelve a intentar",
            "signer, signature: check the handheld's trust pack. time, expired: send another. "
            "space, memory: it is tried again",
        ),
    ),
    "pack_unanswered": (
        "warning",
        (
            "el paquete {name} {version} se envió varias veces y el equipo no respondió",
            "the pack {name} {version} was sent several times and the handheld did not answer",
        ),
        (
            "revise el equipo; para volver a intentarlo envíe el paquete otra vez",
            "examine the handheld; to try again send the pack once more",
        ),
    ),
    "set_aside": (
        "alarm",
        (
            "un evento no cabe en el broker de la central ({why}) y quedó apartado",
            "an event does not fit the back office's broker ({why}) and was set aside",
        ),
        (
            "suba el límite de tamaño del broker y feed.max_bytes; el evento sigue guardado",
            "raise the broker's size limit and feed.max_bytes; the event is still stored",
        ),
    ),
    "command_refused": (
        "warning",
        (
            "una orden del tema {topic} se rechazó ({reason}, clave {kid}); hoy las siguientes "
            "por ese motivo solo se cuentan",
            "a command on {topic} was refused ({reason}, key {kid}); further ones for that reason "
            "are only counted today",
        ),
        (
            "unsigned, signature, unknown_key, role o algorithm: vea quién publica ahí y corrija "
            "las ACL del broker. expired o future: revise los relojes. replayed: un mensaje se "
            "repitió o alguien lo grabó. Otro motivo: revise el programa de la central",
            "unsigned, signature, unknown_key, role or algorithm: see who publishes there and "
            "mend the broker's ACL. expired or future: check the clocks. replayed: a message was "
            "repeated or somebody recorded it. Otherwise: examine the back office's program",
        ),
    ),
    "confirm_lag": (
        "warning",
        (
            "la central no confirma: {count} eventos esperan, el más antiguo hace {age} s",
            "the back office does not confirm: {count} events wait, the oldest for {age} s",
        ),
        (
            "revise el programa que lee el feed y publica en cmd/confirm; nada se pierde mientras "
            "tanto",
            "examine the program that reads the feed and publishes on cmd/confirm; nothing is "
            "lost meanwhile",
        ),
    ),
    "store_failed": (
        "alarm",
        (
            "la base de datos no puede guardar nada ({why}): no se acusa ni se recibe nada, y los "
            "equipos conservan lo suyo",
            "the database can store nothing ({why}): nothing is acknowledged or receipted, and "
            "the handhelds keep what they have",
        ),
        (
            "haga sitio en el disco, o revise disco y permisos; la pasarela sigue sola",
            "make room on the disk, or check disk and permissions; the gateway goes on by itself",
        ),
    ),
    "store_recovered": (
        "warning",
        (
            "la base de datos estuvo {seconds} s sin poder guardar ({why}); ya guarda otra vez",
            "the database could store nothing for {seconds} s ({why}); it stores again",
        ),
        (
            "vea por qué se llenó o falló el disco; si falló, haga `ronda gateway audit`",
            "see why the disk was full or failed; if it failed, run `ronda gateway audit`",
        ),
    ),
    "internal": (
        "alarm",
        (
            "un fallo de la pasarela impidió tratar un mensaje ({detail}); quedó en cuarentena",
            "a fault of the gateway kept it from treating a message ({detail}); it is quarantined",
        ),
        (
            "envíe el registro de la pasarela a quien la mantiene",
            "send the gateway's log to whoever maintains it",
        ),
    ),
}


# Words of fields that a Spanish text carries; the fields themselves keep the protocol's names.
_SPANISH = {
    "track": "recorrido",
    "evidence": "prueba",
    "answers": "respuestas",
    "promise": "promesa",
    "correction": "corrección",
    "cases": "de casos",
    "config": "de ajustes",
    "trust": "de confianza",
    "memory": "no le alcanzó la memoria",
    "space": "no le alcanzó el espacio",
    "old": "tiene uno más nuevo",
    "time": "fuera de su plazo",
}


def describe(kind: str, device: str, at: int, fields: dict[str, Any]) -> dict[str, Any]:
    """The data of an alert: its fields, what it means and what to do, in RONDA_LANG."""
    severity, what, todo = KINDS[kind]
    lang = 1 if language() == "en" else 0
    told = {name: printable(value) for name, value in fields.items()}
    if not lang:
        for name in {"parts", "name", "why"} & told.keys():
            told[name] = ", ".join(_SPANISH.get(word, word) for word in told[name].split(", "))
    return {
        "kind": kind,
        "severity": severity,
        "device": device,
        "at": at,
        **fields,
        "text": what[lang].format(**told),
        "todo": todo[lang],
    }
