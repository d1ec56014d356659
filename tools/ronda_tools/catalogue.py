"""The table of sentences behind `texts`: code, Spanish, English and, for errors, what to do next.

Only sentences: what they mean to a program is in exit codes and `--json`.
"""

from ronda_tools.texts import Text

TEXTS: dict[str, Text] = {
    # ---- any command ---------------------------------------------------------------------
    "cli.interrupted": Text("Interrumpido.", "Interrupted."),
    "cli.help": Text(
        "Visitas de cobranza comprobables: equipos, puerta de enlace, evidencia.",
        "Provable collection visits: handhelds, gateway, evidence.",
    ),
    "cli.help.lang": Text("Idioma de los mensajes.", "Language of the messages."),
    "cli.help.version": Text("Muestra la versión y termina.", "Show the version and exit."),
    "cli.lang": Text(
        "No hay mensajes en el idioma {lang}.",
        "There are no messages in the language {lang}.",
        "Use --lang es o --lang en.",
        "Use --lang es or --lang en.",
    ),
    "cli.json": Text("Imprime JSON en vez de frases.", "Print JSON instead of sentences."),
    "file.missing": Text(
        "no existe el archivo {file}",
        "there is no file {file}",
        "revise la ruta",
        "check the path",
    ),
    "file.directory": Text(
        "{file} es una carpeta, no un archivo",
        "{file} is a folder, not a file",
        "nombre el archivo que está dentro",
        "name the file inside it",
    ),
    "file.unreadable": Text(
        "no se puede leer {file}: {why}",
        "cannot read {file}: {why}",
        "revise los permisos del archivo",
        "check the file's permissions",
    ),
    "file.unwritable": Text(
        "no se puede escribir {file}: {why}",
        "cannot write {file}: {why}",
        "elija otra ruta o revise los permisos",
        "choose another path or check the permissions",
    ),
    "file.empty": Text(
        "el archivo {file} está vacío",
        "the file {file} is empty",
        "vuelva a copiarlo desde su origen",
        "copy it again from where it came from",
    ),
    "file.huge": Text(
        "el archivo {file} pasa de {limit} MiB",
        "the file {file} is larger than {limit} MiB",
        "separe las líneas que hacen falta en otro archivo",
        "put the lines you need into a file of their own",
    ),
    # ---- brokers -------------------------------------------------------------------------
    "broker.url": Text(
        "{url} no es la dirección de un broker",
        "{url} is not a broker's address",
        "se escribe mqtt://HOST:PUERTO o mqtt://usuario:clave@HOST:PUERTO",
        "write mqtt://HOST:PORT or mqtt://user:password@HOST:PORT",
    ),
    # ---- evidence ------------------------------------------------------------------------
    "evidence.help": Text(
        "Herramientas del auditor: ver y verificar la evidencia de una visita.",
        "An auditor's tools: show and verify a visit's evidence.",
    ),
    "evidence.help.show": Text(
        "Muestra lo que dice una evidencia, sin decidir si es auténtica.",
        "Show what a piece of evidence says, without deciding whether it is authentic.",
    ),
    "evidence.help.verify": Text(
        "Verifica una evidencia con el archivo y la clave pública del equipo, sin nada más. "
        "Sale con 0 si es válida, 1 si no lo es, 2 si el pedido está mal hecho.",
        "Verify evidence with the file and the device's public key, nothing else. "
        "Exit 0 valid, 1 not valid, 2 used wrong.",
    ),
    "evidence.help.file": Text(
        "Segmento sellado en bytes, en base64, un evento del feed en JSON, o líneas JSON; - es la "
        "entrada estándar.",
        "A sealed segment as bytes, as base64, a feed event's JSON, or JSON lines; - is standard "
        "input.",
    ),
    "evidence.help.key": Text(
        "Clave pública del equipo: PEM, JWK o COSE_Key.",
        "The device's public key: PEM, JWK or COSE_Key.",
    ),
    "evidence.help.id": Text(
        "El id del evento, cuando el archivo tiene varios.",
        "The event's id, when the file holds several.",
    ),
    "evidence.help.all": Text(
        "Todas las evidencias del archivo.", "Every piece of evidence in the file."
    ),
    "evidence.none": Text(
        "no hay evidencia en {file}",
        "there is no evidence in {file}",
        "dé el segmento sellado, su base64, o un evento de visita del feed (data.evidence)",
        "give the sealed segment, its base64, or a visit event of the feed (data.evidence)",
    ),
    "evidence.choose": Text(
        "{file} tiene {count} evidencias",
        "{file} holds {count} pieces of evidence",
        "elija una con --id (por ejemplo {id}) o todas con --all",
        "choose one with --id (for example {id}) or all with --all",
    ),
    "evidence.no_such_id": Text(
        "{file} no tiene evidencia con el id {id}",
        "{file} holds no evidence with the id {id}",
        "vea los id con: ronda evidence show {file} --all",
        "see the ids with: ronda evidence show {file} --all",
    ),
    "evidence.bad_json": Text("estructura: el JSON está dañado", "structure: the JSON is damaged"),
    "evidence.bad_base64": Text(
        "estructura: el base64 está dañado", "structure: the base64 is damaged"
    ),
    "evidence.bad_structure": Text(
        "estructura: no es un segmento sellado íntegro ({why})",
        "structure: not a whole sealed segment ({why})",
    ),
    "evidence.structure": Text(
        "estructura: COSE_Sign1 ES256 y {parts} parte(s), CBOR determinista, {size} bytes",
        "structure: COSE_Sign1 ES256 and {parts} part(s), deterministic CBOR, {size} bytes",
    ),
    "evidence.no_key": Text(
        "firma: no comprobada (dice ser de la clave {kid}; use verify con --key)",
        "signature: not checked (it claims key {kid}; use verify with --key)",
    ),
    "evidence.key": Text(
        "clave: el kid {kid} es el de la clave dada", "key: kid {kid} is that of the given key"
    ),
    "evidence.other_key": Text(
        "clave: la evidencia nombra {kid} y la clave dada es {given}: es de otro equipo",
        "key: the evidence names {kid} and the given key is {given}: another device's",
    ),
    "evidence.signature_not_tried": Text(
        "firma: no se intentó con una clave ajena", "signature: not tried with a foreign key"
    ),
    "evidence.signature": Text(
        "firma: ES256 correcta, con s baja", "signature: ES256 correct, with low s"
    ),
    "evidence.bad_signature": Text(
        "firma: NO corresponde a lo firmado con esta clave",
        "signature: does NOT match what this key would have signed",
    ),
    "evidence.header": Text(
        "cabecera: equipo {device}, registro {log}, segmento {seq}",
        "header: device {device}, log {log}, segment {seq}",
    ),
    "evidence.bad_header": Text(
        "cabecera: lo firmado no es una cabecera de segmento ({why})",
        "header: what was signed is no segment header ({why})",
    ),
    "evidence.part": Text(
        "parte {part}: {size} bytes, su SHA-256 es el firmado",
        "part {part}: {size} bytes, its SHA-256 is the signed one",
    ),
    "evidence.part_withheld": Text(
        "parte {part}: no está (retenida o borrada); se firmó su SHA-256 {hash}",
        "part {part}: absent (withheld or erased); its SHA-256 was signed: {hash}",
    ),
    "evidence.part_changed": Text(
        "parte {part}: CAMBIADA, su SHA-256 no es el firmado",
        "part {part}: CHANGED, its SHA-256 is not the signed one",
    ),
    "evidence.part_unsigned": Text(
        "parte {part}: AÑADIDA, no figura en lo firmado",
        "part {part}: ADDED, it is not in what was signed",
    ),
    "evidence.bad_part": Text(
        "contenido: una parte no se puede leer ({why})",
        "content: a part cannot be read ({why})",
    ),
    "evidence.no_visit": Text(
        "contenido: falta la parte evidence, así que no se muestra ninguna visita",
        "content: the evidence part is absent, so no visit is shown",
    ),
    "evidence.correction": Text(
        "corrección legible de la visita {visit}, que queda como se selló",
        "a readable correction of visit {visit}, which stays as it was sealed",
    ),
    "evidence.visit": Text(
        "contenido: la visita {visit} se lee entera", "content: visit {visit} reads whole"
    ),
    "evidence.number": Text(
        "números: la visita es la entrada {number} del registro",
        "numbers: the visit is entry {number} of the log",
    ),
    "evidence.numbers": Text(
        "números: {count} entradas, de la {first} a la {last}",
        "numbers: {count} entries, from {first} to {last}",
    ),
    "evidence.bad_numbers": Text(
        "números: los de las entradas no son los firmados",
        "numbers: the entries' are not the signed ones",
    ),
    "evidence.chain": Text(
        "cadena: hash {hash} (el segmento {next} y los recibos deben nombrarlo)",
        "chain: hash {hash} (segment {next} and the receipts must name it)",
    ),
    "evidence.event": Text(
        "evento: lo que dice de la evidencia coincide con lo firmado",
        "event: what it says of the evidence is what was signed",
    ),
    "evidence.moment.check_in": Text("llegada", "check-in"),
    "evidence.moment.close": Text("cierre", "close"),
    "evidence.moment.portal": Text("portal", "entrance"),
    "evidence.moment.resumed": Text("al seguir", "going on"),
    "evidence.fence": Text(
        "cerco, {moment}: el veredicto se deduce de las posiciones firmadas: {verdict}",
        "fence, {moment}: the verdict follows from the signed fixes: {verdict}",
    ),
    "evidence.fence_impossible": Text(
        "cerco, {moment}: el veredicto no se puede recalcular en ese lugar ({why})",
        "fence, {moment}: the verdict cannot be computed again at that place ({why})",
    ),
    "evidence.fence_differs": Text(
        "cerco, {moment}: con un error de receptor de 5 m no se deduce de las posiciones firmadas "
        "(firmado: {verdict}; calculado: {ours})",
        "fence, {moment}: with a receiver error of 5 m it does not follow from the signed fixes "
        "(signed: {verdict}; computed: {ours})",
    ),
    "evidence.event_unproved": Text(
        "evento: muestra {part}, pero la evidencia no trae esa parte: no se puede comprobar",
        "event: it shows {part}, but the evidence lacks that part: this cannot be checked",
    ),
    "evidence.event_differs": Text(
        "evento: dice {field} = {claimed}, y se firmó {signed}",
        "event: it says {field} = {claimed}, and {signed} was signed",
    ),
    "evidence.valid": Text("VÁLIDA: {visit}", "VALID: {visit}"),
    "evidence.invalid": Text("NO VÁLIDA: {visit}", "NOT VALID: {visit}"),
    "evidence.unknown_visit": Text("evidencia ilegible", "unreadable evidence"),
    "evidence.proves": Text(
        "Prueba: quien tiene la clave {kid} selló exactamente estos bytes, en este puesto de su "
        "cadena; cualquier cambio posterior se vería.",
        "Proved: the holder of key {kid} sealed exactly these bytes, at this place of its chain; "
        "any later change would show.",
    ),
    "evidence.not_proved": Text(
        "No prueba: que el equipo, la persona o el receptor GPS fueran honestos; que la clave sea "
        "del equipo nombrado (eso lo dice quien la entregó); que no falten segmentos vecinos; ni "
        "que la visita cumpliera la ley (no evaluada).",
        "Not proved: that device, person or GPS receiver were honest; that the key belongs to the "
        "named device (whoever gave it says so); that no neighbouring segment is missing; nor "
        "that the visit was lawful (not evaluated).",
    ),
    # ---- words for verdicts --------------------------------------------------------------
    "word.not_asked": Text("no se pidió posición", "no position was asked for"),
    "word.inside": Text(
        "dentro, a {d} del borde (precisión {r}, {used} posiciones)",
        "inside, {d} from the edge (accuracy {r}, {used} fixes)",
    ),
    "word.outside": Text(
        "fuera, a {d} del borde (precisión {r}, {used} posiciones)",
        "outside, {d} from the edge (accuracy {r}, {used} fixes)",
    ),
    "word.uncertain": Text(
        "no se puede afirmar, a {d} del borde (precisión {r}, {used} posiciones)",
        "cannot tell, {d} from the edge (accuracy {r}, {used} fixes)",
    ),
    "word.uncertain_blind": Text(
        "no se puede afirmar: sin posición utilizable", "cannot tell: no usable position"
    ),
    "word.bad_fence": Text(
        "el lugar no sirve como cerco y no se puede juzgar",
        "the place is no fence and cannot be judged",
    ),
    "word.circle": Text("radio {radius}", "radius {radius}"),
    "word.polygon": Text("polígono de {corners} esquinas", "polygon of {corners} corners"),
    "word.reason.no_fix": Text("sin señal GPS", "no GPS fix"),
    "word.reason.disqualified": Text("posición GPS congelada", "frozen GPS position"),
    "word.reason.hdop": Text("precisión desconocida", "unknown accuracy"),
    "word.compass.n": Text("norte", "north"),
    "word.compass.ne": Text("noreste", "north-east"),
    "word.compass.e": Text("este", "east"),
    "word.compass.se": Text("sureste", "south-east"),
    "word.compass.s": Text("sur", "south"),
    "word.compass.sw": Text("suroeste", "south-west"),
    "word.compass.w": Text("oeste", "west"),
    "word.compass.nw": Text("noroeste", "north-west"),
    "word.ended.closed": Text("cerrada", "closed"),
    "word.ended.interrupted": Text("interrumpida", "interrupted"),
    "word.ended.refused": Text("rechazada", "refused"),
    "word.opened.refused": Text("no se abrió", "did not open"),
    "word.opened.inside": Text("se abrió dentro del cerco", "opened inside the fence"),
    "word.opened.unconfirmed": Text(
        "se abrió con ubicación no confirmada", "opened with its location unconfirmed"
    ),
    "word.opened.address": Text(
        "se abrió como dirección por confirmar", "opened as an address to confirm"
    ),
    "word.opened.portal": Text(
        "se abrió por el portal registrado", "opened by the registered portal"
    ),
    "word.quality.geocoded": Text("solo geocodificado", "only geocoded"),
    "word.quality.confirmed": Text("confirmado", "confirmed"),
    "word.quality.corrected": Text("corregido", "corrected"),
    "word.source.none": Text("sin fuente", "no source"),
    "word.source.gnss": Text("GNSS", "GNSS"),
    "word.source.gateway": Text("pasarela", "gateway"),
    "word.source.rtc": Text("reloj interno", "internal clock"),
    "word.no_stamp": Text("sin hora", "no time"),
    "word.stamp": Text(
        "{time} ({source}, ±{uncertainty} s; arranque {boot}, {since} desde él)",
        "{time} ({source}, ±{uncertainty} s; boot {boot}, {since} since it)",
    ),
    "word.stamp_untimed": Text(
        "sin hora conocida (arranque {boot}, {since} desde él)",
        "no known time (boot {boot}, {since} since it)",
    ),
    "word.promise": Text("promesa {kind} de {who}: {pairs}", "{kind} promise by {who}: {pairs}"),
    "word.promise.all": Text("total", "full"),
    "word.promise.partial": Text("parcial", "partial"),
    "word.promise.pair": Text("{amount} el {day}", "{amount} on {day}"),
    # ---- what an evidence says -----------------------------------------------------------
    "show.segment": Text(
        "Segmento {seq} del registro {log}, equipo {device}, firmware {firmware} ({hash}).",
        "Segment {seq} of log {log}, device {device}, firmware {firmware} ({hash}).",
    ),
    "show.visit": Text("Visita {visit}: {ended}.", "Visit {visit}: {ended}."),
    "show.case": Text(
        "Caso {case}, cartera {portfolio}, acreedor {creditor}; lugar {quality} (versión "
        "{version}), {shape}.",
        "Case {case}, portfolio {portfolio}, creditor {creditor}; place {quality} (version "
        "{version}), {shape}.",
    ),
    "show.check_in": Text("Llegada: {stamp}.", "Check-in: {stamp}."),
    "show.verdict": Text(
        "Veredicto del equipo: {verdict}; {opened}.",
        "The handheld's verdict: {verdict}; {opened}.",
    ),
    "show.portal": Text(
        "Portal registrado: {stamp}; {verdict}; {dwell} s dentro.",
        "Registered portal: {stamp}; {verdict}; {dwell} s inside.",
    ),
    "show.dwell": Text(
        "Permanencia: {before} s dentro antes de la llegada, {during} s seguidos durante la "
        "visita.",
        "Stay: {before} s inside before the check-in, {during} s in a row during the visit.",
    ),
    "show.dwell_open": Text(
        "Permanencia: {before} s dentro antes de la llegada.",
        "Stay: {before} s inside before the check-in.",
    ),
    "show.no_signal": Text(
        "Se cerró diciendo «sin señal» en el portal.",
        "Closed saying “no signal” at the entrance.",
    ),
    "show.close": Text("Cierre: {stamp}.", "Close: {stamp}."),
    "show.close_verdict": Text("Posición al cierre: {verdict}.", "Position at close: {verdict}."),
    "show.attempts": Text(
        "Intentos en 5 minutos: {count}.", "Attempts within 5 minutes: {count}."
    ),
    "show.outcome": Text("Resultado: {outcome}.", "Outcome: {outcome}."),
    "show.gestor": Text("Gestor: {gestor}.", "Gestor: {gestor}."),
    "show.answer": Text("Respuesta {question}: {answer}.", "Answer {question}: {answer}."),
    "show.correction": Text(
        "Corrección de la visita {visit} por {gestor}: {field} debe decir «{value}», porque: "
        "{reason}.",
        "Correction of visit {visit} by {gestor}: {field} should be “{value}”, because: {reason}.",
    ),
    "show.promise": Text("Consta: {promise}.", "On record: {promise}."),
    "show.law": Text("Ley: no evaluada en el equipo.", "Law: not evaluated on the handheld."),
    "show.law_other": Text(
        "Ley: evaluada con un código que esta versión no conoce.",
        "Law: evaluated with a code that this version does not know.",
    ),
    "show.entries": Text(
        "Contiene {fix} posiciones, {battery} lecturas de batería y {event} sucesos.",
        "Holds {fix} fixes, {battery} battery readings and {event} events.",
    ),
    "show.fix": Text("Posición {number}: {lat}, {lon}.", "Fix {number}: {lat}, {lon}."),
    "show.event": Text("Suceso {number}: {name} {data}.", "Event {number}: {name} {data}."),
    "show.unverified": Text(
        "Nada de esto se ha verificado: use ronda evidence verify FILE --key PUB.",
        "None of this has been verified: use ronda evidence verify FILE --key PUB.",
    ),
    "word.short.inside": Text("dentro", "inside"),
    "word.short.outside": Text("fuera", "outside"),
    "word.short.uncertain": Text("no se puede afirmar", "cannot tell"),
    "word.power.0": Text("fuente desconocida", "source unknown"),
    "word.power.1": Text("a batería", "on battery"),
    "word.power.2": Text("cargando", "charging"),
    "word.event.boot": Text("arranque", "boot"),
    "word.event.time_set": Text("hora puesta", "time set"),
    "word.event.time_step": Text("salto de hora", "time step"),
    "word.event.gps_silent": Text("receptor GPS mudo", "GPS receiver silent"),
    "word.event.fix_lost": Text("señal GPS perdida", "GPS fix lost"),
    "word.event.fix_found": Text("señal GPS recuperada", "GPS fix found"),
    "word.event.shift_start": Text("inicio de turno", "shift start"),
    "word.event.shift_end": Text("fin de turno", "shift end"),
    "word.event.pause": Text("pausa", "pause"),
    "word.event.resume": Text("fin de pausa", "resumed"),
    "word.event.recovered": Text("registro recuperado", "log recovered"),
    "word.event.lost": Text("segmento perdido", "segment lost"),
    "word.event.pack": Text("paquete firmado", "signed pack"),
    "word.event.storage_full": Text("memoria llena", "storage full"),
    "word.event.visit_started": Text("visita abierta", "visit opened"),
    "word.event.part_missing": Text(
        "falta una pieza del equipo", "a part of the board is missing"
    ),
    "word.event.visit_resume": Text("visita tras un corte", "visit after a power cut"),
    "word.event.wiped": Text("datos de deudores borrados", "debtor data wiped"),
    "word.event.future_pack": Text("paquete con fecha futura", "pack dated in the future"),
    # ---- the feed ------------------------------------------------------------------------
    "feed.help": Text("Lo que ve la central.", "What the back office sees."),
    "feed.help.schema": Text(
        "Muestra el esquema JSON de un tipo de evento, o la lista de todos.",
        "Print the JSON Schema of an event type, or the list of all.",
    ),
    "feed.help.schema_name": Text(
        "Tipo de evento sin «ronda.»: visit, alert…", "Event type without `ronda.`: visit, alert…"
    ),
    "feed.help.schema_list": Text("Solo los nombres.", "Only the names."),
    "feed.no_schema": Text(
        "no hay un esquema «{name}»",
        "there is no schema “{name}”",
        "use uno de: {known}",
        "use one of: {known}",
    ),
    "feed.help.tail": Text(
        "Sigue el feed y cuenta cada evento en una frase, hasta Ctrl-C o --count.",
        "Follow the feed and tell each event in a sentence, until Ctrl-C or --count.",
    ),
    "feed.help.broker": Text(
        "Broker: mqtt://[usuario:clave@]HOST:PUERTO[/raíz/de/temas]; la raíz por defecto es "
        "ronda/+, cualquier sede.",
        "Broker: mqtt://[user:password@]HOST:PORT[/topic/root]; the default root is ronda/+, any "
        "site.",
    ),
    "feed.help.config": Text(
        "gateway.toml del que tomar broker y raíz (por defecto $RONDA_CONFIG o ./gateway.toml).",
        "gateway.toml to take broker and root from (default $RONDA_CONFIG or ./gateway.toml).",
    ),
    "feed.help.count": Text(
        "Termina tras N eventos (0: nunca).", "End after N events (0: never)."
    ),
    "feed.help.json": Text("Una línea JSON por evento.", "One line of JSON an event."),
    "feed.one_of_two": Text(
        "--broker y --config no van juntos",
        "--broker and --config do not go together",
        "deje uno de los dos",
        "leave one of them out",
    ),
    "feed.no_broker": Text(
        "no se sabe qué broker seguir: no hay gateway.toml aquí",
        "which broker to follow is unknown: there is no gateway.toml here",
        "indique --broker mqtt://HOST:PUERTO o --config gateway.toml",
        "name --broker mqtt://HOST:PORT or --config gateway.toml",
    ),
    "feed.trying": Text(
        "Conectando con el broker {host}:{port} …", "Trying broker {host}:{port} …"
    ),
    "feed.connected": Text(
        "Conectado con {host}:{port}; esperando eventos (Ctrl-C para terminar).",
        "Connected to {host}:{port}; waiting for events (Ctrl-C ends).",
    ),
    "feed.unreachable": Text(
        "Sin broker en {host}:{port} ({why}); otro intento en {wait} s.",
        "No broker at {host}:{port} ({why}); trying again in {wait} s.",
    ),
    "feed.closed": Text("conexión cerrada", "connection closed"),
    "feed.denied": Text(
        "el broker no deja suscribirse a {pattern}",
        "the broker refuses the subscription {pattern}",
    ),
    "feed.dropped": Text(
        "Llegan más eventos de los que se pueden mostrar: {count} sin mostrar.",
        "More events come than can be shown: {count} not shown.",
    ),
    "feed.unreadable": Text(
        "Mensaje que no es un evento ({size} bytes).", "A message that is no event ({size} bytes)."
    ),
    "feed.unknown": Text(
        "Evento que esta versión no sabe contar: {type} {id}.",
        "An event this version cannot tell: {type} {id}.",
    ),
    "feed.visit": Text(
        "{when}, {device}, caso {case} (cartera {portfolio}): visita {ended}",
        "{when}, {device}, case {case} (portfolio {portfolio}): visit {ended}",
    ),
    "feed.at_door": Text("en la puerta: {verdict}", "at the door: {verdict}"),
    "feed.at_close": Text("al cerrar: {verdict}", "at close: {verdict}"),
    "feed.at_portal": Text("en el portal: {verdict}", "at the entrance: {verdict}"),
    "feed.dwell": Text(
        "permanencia {before} s antes y {during} s durante",
        "stayed {before} s before and {during} s during it",
    ),
    "feed.no_signal": Text("cerrada «sin señal»", "closed with “no signal”"),
    "feed.attempts": Text("{count} intento(s)", "{count} attempt(s)"),
    "feed.outcome": Text("resultado: {outcome}", "outcome: {outcome}"),
    "feed.disagree": Text(
        "{verdict} (el equipo dijo: {theirs})", "{verdict} (the handheld said: {theirs})"
    ),
    "feed.overall.exception": Text(
        "queda por revisar por una persona", "waits for a person to judge"
    ),
    "feed.overall.unverified": Text(
        "firma correcta, ley no evaluada", "signature correct, law not evaluated"
    ),
    "feed.verdict": Text(
        "Visita {visit} (caso {case}, cartera {portfolio}): cambio {version} ({why}); {overall}.",
        "Visit {visit} (case {case}, portfolio {portfolio}): change {version} ({why}); {overall}.",
    ),
    "feed.why.gap_filled": Text("llegó lo que faltaba de la cadena", "a gap in the chain closed"),
    "feed.why.declared_lost": Text(
        "el equipo declaró perdido lo que faltaba", "the handheld declared what was missing lost"
    ),
    "feed.why.chain_broken": Text("la cadena no encaja", "the chain does not fit"),
    "feed.why.parts_arrived": Text("llegaron partes que faltaban", "missing parts arrived"),
    "feed.why.fork_found": Text(
        "hay otro contenido firmado con el mismo número",
        "another content was signed under the same number",
    ),
    "feed.why.corrected": Text("el gestor la corrigió", "its gestor corrected it"),
    "feed.why.correction_refused": Text(
        "llegó una corrección que no vale", "a correction came that does not hold"
    ),
    "feed.correction": Text(
        "{gestor} corrige {field}: decía «{original}», debe decir «{value}», porque: {reason}",
        "{gestor} corrects {field}: it said “{original}”, it should say “{value}”, because: "
        "{reason}",
    ),
    "word.field.outcome": Text("el resultado", "the outcome"),
    "word.field.promise": Text("la promesa", "the promise"),
    "word.field.answer": Text("la respuesta «{question}»", "the answer “{question}”"),
    "feed.positions": Text(
        "{device}: {count} posiciones (segmento {seq}); la última {lat}, {lon} a las {when}.",
        "{device}: {count} fixes (segment {seq}); the last {lat}, {lon} at {when}.",
    ),
    "feed.battery": Text(
        "{device}: batería {mv} mV, {percent} %, {source} (lecturas: {count}).",
        "{device}: battery {mv} mV, {percent} %, {source} (readings: {count}).",
    ),
    "feed.events": Text("{device}: {events}.", "{device}: {events}."),
    "feed.event": Text("{name} ({when})", "{name} ({when})"),
    "feed.alert": Text(
        "{severity} de {device}: {text} -> {todo}.", "{severity} of {device}: {text} -> {todo}."
    ),
    "feed.severity.warning": Text("AVISO", "WARNING"),
    "feed.severity.alarm": Text("ALARMA", "ALARM"),
    "word.outcome.ausente": Text("nadie en casa", "nobody home"),
    "word.outcome.mudado": Text("se mudó", "moved away"),
    "word.outcome.no_vive_aqui": Text("no vive aquí", "does not live here"),
    "word.outcome.fallecido": Text("fallecido", "deceased"),
    "word.outcome.desocupado": Text("inmueble desocupado", "vacant"),
    "word.outcome.direccion_inexistente": Text("la dirección no existe", "no such address"),
    "word.outcome.sin_acceso": Text("sin acceso al edificio", "no access to the building"),
    "word.outcome.zona_insegura": Text("zona insegura", "unsafe area"),
    "word.outcome.se_niega": Text("se niega a pagar", "refuses to pay"),
    "word.outcome.pide_no_volver": Text("pide no volver", "asks not to return"),
    "word.outcome.tiene_abogado": Text("tiene abogado", "has a lawyer"),
    "word.outcome.disputa": Text("disputa la deuda", "disputes the debt"),
    "word.outcome.ya_pago": Text("dice que ya pagó", "says it is paid"),
    "word.outcome.sin_acuerdo": Text("sin acuerdo", "no agreement"),
    "word.outcome.promesa": Text("promesa de pago", "promise to pay"),
    "word.outcome.convenio": Text("convenio de pago", "payment agreement"),
    # ---- the demo ------------------------------------------------------------------------
    "demo.help": Text(
        "El sistema entero en esta máquina: broker, pasarela y equipos simulados que recorren "
        "Miraflores, Surquillo y Barranco. Con --once, una jornada acelerada y su conciliación; "
        "sale con 1 si no cuadra.",
        "The whole system on this machine: broker, gateway and simulated handhelds walking "
        "Miraflores, Surquillo and Barranco. With --once, one accelerated day and its "
        "reconciliation; exit 1 unless it balances.",
    ),
    "demo.help.picture": Text(
        "Corre hasta las 11:52 y guarda la página como imagen SVG.",
        "Run until 11:52 and save the page as an SVG picture.",
    ),
    "demo.help.once": Text(
        "Una jornada tan rápido como pueda la máquina; imprime la conciliación y termina.",
        "One day as fast as the machine allows; print the reconciliation and end.",
    ),
    "demo.help.handhelds": Text(
        "Cuántos equipos simular, de 1 a 20 (3).", "How many handhelds, 1 to 20 (3)."
    ),
    "demo.help.speed": Text(
        "Segundos simulados por segundo, como máximo (sin --once).",
        "Simulated seconds a second, at most (without --once).",
    ),
    "demo.help.json": Text(
        "Imprime la conciliación en JSON (con --once).",
        "Print the reconciliation as JSON (with --once).",
    ),
    "demo.help.feed": Text(
        "Escribe también cada evento del feed, una línea JSON cada uno.",
        "Write every feed event too, one line of JSON each.",
    ),
    "demo.help.keep": Text(
        "Conserva en esta carpeta (nueva o vacía) base de datos, claves públicas y memoria del "
        "equipo.",
        "Keep database, public keys and the handheld's storage in this folder (new or empty).",
    ),
    "demo.help.port": Text("Puerto del broker (uno libre).", "The broker's port (a free one)."),
    "demo.handhelds": Text(
        "la demostración lleva de 1 a {most} equipos, no {count}",
        "the demo carries 1 to {most} handhelds, not {count}",
        "por ejemplo --handhelds 3",
        "for example --handhelds 3",
    ),
    "demo.speed": Text(
        "--speed debe ser mayor que 0 y como máximo 100000",
        "--speed must be above 0 and at most 100000",
        "por ejemplo --speed 60: un minuto por segundo",
        "for example --speed 60: a minute a second",
    ),
    "demo.json_once": Text(
        "--json es para una jornada: va con --once",
        "--json is for one day: it goes with --once",
        "añada --once",
        "add --once",
    ),
    "demo.keep_full": Text(
        "{path} no está vacía; no se ha tocado nada",
        "{path} is not empty; nothing was touched",
        "dé a --keep una carpeta nueva",
        "give --keep a new folder",
    ),
    "demo.keep_bad": Text(
        "no se puede usar {path} para --keep: {why}",
        "{path} cannot be used for --keep: {why}",
        "elija otra carpeta",
        "choose another folder",
    ),
    "demo.no_broker": Text(
        "el broker incluido no contesta en {host}:{port}",
        "the embedded broker does not answer on {host}:{port}",
        "pruebe otra vez; si persiste, dé otro puerto con --port",
        "try again; if it persists, give another port with --port",
    ),
    "demo.stuck": Text(
        "la jornada no pudo terminar: {why}",
        "the day could not end: {why}",
        "pruebe otra vez; si persiste, guarde la carpeta de --keep para quien mantiene Ronda",
        "try again; if it persists, keep the folder of --keep for whoever maintains Ronda",
    ),
    "demo.started": Text(
        "Ronda, demostración: martes 15 de septiembre de 2026, Lima. Broker en {url}.",
        "Ronda, demonstration: Tuesday 15 September 2026, Lima. Broker at {url}.",
    ),
    "demo.follow": Text(
        "Para ver lo que ve la central, en otra terminal:  ronda feed tail --broker {url}",
        "To see what the back office sees, in another terminal:  ronda feed tail --broker {url}",
    ),
    "demo.push": Text(
        "Para enviar otros casos al equipo:  ronda cases push CASOS.json --device demo-01"
        " --config {config}",
        "To send the handheld other cases:  ronda cases push CASES.json --device demo-01"
        " --config {config}",
    ),
    "demo.speed_is": Text(
        "Un segundo aquí son hasta {speed} allí. Ctrl-C termina.",
        "One second here is up to {speed} there. Ctrl-C ends.",
    ),
    "demo.progress": Text("Jornada simulada", "Simulated day"),
    "demo.provisioned": Text(
        "Equipo {device} preparado: clave propia {kid}, raíz fijada, ronda de {cases} casos.",
        "Handheld {device} provisioned: its own key {kid}, root pinned, a round of {cases} cases.",
    ),
    "demo.stays": Text(
        "La jornada terminó. El broker sigue en {url}; Ctrl-C termina.",
        "The day is over. The broker stays at {url}; Ctrl-C ends.",
    ),
    "demo.ended": Text("Todo cerrado.", "All ended."),
    "demo.kept": Text("Conservado en {path}.", "Kept in {path}."),
    "demo.shift_started": Text("El gestor empieza su turno.", "The gestor begins the shift."),
    "demo.shift_ended": Text("El gestor termina su turno.", "The gestor ends the shift."),
    "demo.opened_inside": Text(
        "{case}: {verdict}. La visita se abre.", "{case}: {verdict}. The visit opens."
    ),
    "demo.opened_unconfirmed": Text(
        "{case}: {verdict}. El gestor acepta «ubicación no confirmada»; se abre y queda por "
        "revisar.",
        "{case}: {verdict}. The gestor acknowledges “location unconfirmed”; it opens and waits "
        "for a person to judge.",
    ),
    "demo.opened_address": Text(
        "{case}: {verdict}, de una dirección solo geocodificada. Se abre como dirección por "
        "confirmar.",
        "{case}: {verdict}, of an address that is only geocoded. It opens as an address to "
        "confirm.",
    ),
    "demo.portal_registered": Text(
        "{case}: portal registrado, {verdict}. Vale para abrir arriba en {good_s} s.",
        "{case}: entrance registered, {verdict}. Good for opening upstairs within {good_s} s.",
    ),
    "demo.opened_portal": Text(
        "{case}: {verdict}. Se abre por el portal registrado.",
        "{case}: {verdict}. It opens by the registered entrance.",
    ),
    "demo.ask_portal_fix": Text(
        "{case}: {verdict}. El equipo pide cerrar en el portal, o decir «sin señal».",
        "{case}: {verdict}. The handheld asks to close at the entrance, or to say “no signal”.",
    ),
    "demo.ask_unconfirmed": Text(
        "{case}: {verdict}. El equipo pide aceptar «ubicación no confirmada».",
        "{case}: {verdict}. The handheld asks to acknowledge “location unconfirmed”.",
    ),
    "demo.waiting_fix": Text(
        "{case}: esperando señal GPS, hasta {remaining_s} s más.",
        "{case}: waiting for a GPS fix, {remaining_s} s more at most.",
    ),
    "demo.refused_outside": Text(
        "{case}: rechazada, faltan {metres} m hasta el cerco; camine hacia el {direction}.",
        "{case}: refused, {metres} m short of the fence; walk {direction}.",
    ),
    "demo.saved": Text(
        "{case}: visita cerrada ({outcome}) y guardada.",
        "{case}: visit closed ({outcome}) and saved.",
    ),
    "demo.invalid": Text(
        "{case}: el cuestionario no acepta: {problems}.",
        "{case}: the questionnaire does not take: {problems}.",
    ),
    "demo.other": Text("{case} {moment}: {code}.", "{case} {moment}: {code}."),
    "demo.fix_found": Text("El equipo tiene posición GPS.", "The handheld has a GPS fix."),
    "demo.fix_lost": Text("El equipo perdió la señal GPS.", "The handheld lost its GPS fix."),
    "demo.sealed_track": Text(
        "Tramo sellado y firmado: segmento {seq}.", "Track sealed and signed: segment {seq}."
    ),
    "demo.sealed_visit": Text(
        "Visita sellada y firmada: segmento {seq}.", "Visit sealed and signed: segment {seq}."
    ),
    "demo.link_up": Text("El equipo está conectado al broker.", "The handheld is on the broker."),
    "demo.link_down": Text(
        "El equipo se quedó sin conexión.", "The handheld has lost its connection."
    ),
    "demo.network_lost": Text(
        "Zona sin red: desde aquí todo queda en el equipo.",
        "Dead zone: from here on everything stays on the handheld.",
    ),
    "demo.network_back": Text("Vuelve la red.", "The network is back."),
    "demo.receipt": Text(
        "Recibo firmado de la pasarela: todo hasta el segmento {upto} está a salvo; por enviar: "
        "{unsent}.",
        "The gateway's signed receipt: all up to segment {upto} is safe; still to send: {unsent}.",
    ),
    "demo.died": Text(
        "Una tarea del equipo murió ({task}: {why}) y vuelve a empezar.",
        "A task of the handheld died ({task}: {why}) and starts again.",
    ),
    "demo.feed": Text("  central <- {sentence}", "  back office <- {sentence}"),
    "view.starting": Text("Ronda arranca…", "Ronda is starting…"),
    "view.day": Text("mar 15 sep 2026, Lima", "Tue 15 Sep 2026, Lima"),
    "view.ends": Text("termina", "ends"),
    "view.handhelds": Text("equipos", "handhelds"),
    "view.feed": Text("lo que recibe la central", "what the back office receives"),
    "view.alerts": Text("alertas", "alerts"),
    "view.map": Text("Miraflores · Surquillo · Barranco", "Miraflores · Surquillo · Barranco"),
    "view.more": Text("… y {count} más", "… and {count} more"),
    "view.unsent": Text("por enviar {count}", "unsent {count}"),
    "view.visits": Text(
        "visitas {done} · rechazos {refused} · faltan {left}",
        "visits {done} · refused {refused} · to go {left}",
    ),
    "view.unsent_short": Text("env {count}", "out {count}"),
    "view.visits_short": Text("v{done} r{refused} f{left}", "v{done} r{refused} t{left}"),
    "view.visits_least": Text("v{done} f{left}", "v{done} t{left}"),
    "view.no_fix_short": Text("sin GPS", "no GPS"),
    "view.sky_short": Text("sat {used}/{seen}", "sat {used}/{seen}"),
    "view.visiting_short": Text("en {case}", "at {case}"),
    "view.next_short": Text("→ {case} {far} m", "→ {case} {far} m"),
    "view.corrected_short": Text("{case}: {value} (corregida)", "{case}: {value} (corrected)"),
    "view.no_network": Text("sin red", "no net"),
    "view.linked": Text("en línea", "online"),
    "view.linking": Text("conecta…", "joining…"),
    "view.no_fix": Text("sin señal GPS", "no GPS fix"),
    "view.sky": Text("sat {used}/{seen} HDOP {hdop}", "sat {used}/{seen} HDOP {hdop}"),
    "view.visiting": Text("en visita {case}", "visiting {case}"),
    "view.next": Text("sigue {case} a {far} m", "next {case}, {far} m"),
    "view.corrected": Text(
        "{case} corrige {field}: {original} -> {value}",
        "{case} corrects {field}: {original} -> {value}",
    ),
    "view.changed": Text("{case}: {why}", "{case}: {why}"),
    "view.nothing": Text("Todavía ninguna visita.", "No visit yet."),
    "view.unreadable": Text("evento ilegible", "unreadable event"),
    "demo.page": Text("Conciliación de la jornada:", "Reconciliation of the day:"),
    "demo.kind.visit": Text("visitas", "visits"),
    "demo.kind.fix": Text("posiciones", "fixes"),
    "demo.kind.battery": Text("batería", "battery"),
    "demo.kind.event": Text("sucesos", "events"),
    "demo.kind.correction": Text("correcciones", "corrections"),
    "demo.correction": Text(
        "      corregida: {field}: «{original}» -> «{value}» ({reason}); {signature}, {accepted}",
        "      corrected: {field}: “{original}” -> “{value}” ({reason}); {signature}, {accepted}",
    ),
    "demo.accepted": Text("vale", "it holds"),
    "demo.not_accepted": Text("no vale", "it does not hold"),
    "demo.corrected": Text(
        "{case}: el gestor corrige {field}: debe decir «{value}». Guardado aparte; la visita "
        "queda como se selló.",
        "{case}: the gestor corrects {field}: it should say “{value}”. Saved beside it; the "
        "visit stays as it was sealed.",
    ),
    "demo.sealed_correction": Text(
        "Corrección sellada y firmada: segmento {seq}.",
        "Correction sealed and signed: segment {seq}.",
    ),
    "demo.book.recorded": Text("registrado", "recorded"),
    "demo.book.stored": Text("guardado", "stored"),
    "demo.book.forwarded": Text("reenviado", "forwarded"),
    "demo.totals": Text(
        "perdidos {lost}, duplicados {doubled}, repetidos {repeated}, no registrados {unrecorded}",
        "lost {lost}, doubled {doubled}, repeated {repeated}, unrecorded {unrecorded}",
    ),
    "demo.totals_so_far": Text(
        "en camino todavía {lost}, duplicados {doubled}, repetidos {repeated}, "
        "no registrados {unrecorded}",
        "still on the way {lost}, doubled {doubled}, repeated {repeated}, unrecorded {unrecorded}",
    ),
    "demo.handheld": Text(
        "  {device} ({gestor}): {recorded} entradas, {stored} guardadas, {forwarded} reenviadas; "
        "{visits} visitas",
        "  {device} ({gestor}): {recorded} entries, {stored} stored, {forwarded} forwarded; "
        "{visits} visits",
    ),
    "demo.visits": Text(
        "{count} visitas; cerco: {verdicts}; {verified} firmas verificadas aquí",
        "{count} visits; fence: {verdicts}; {verified} signatures verified here",
    ),
    "demo.broken_off": Text(
        "La jornada se interrumpió: lo que falta sigue en los equipos o en la pasarela.",
        "The day was broken off: what is missing is still on the handhelds or at the gateway.",
    ),
    "demo.visit": Text(
        "  {case}: {ended}; cerco: {fence}; resultado: {outcome}; {signature}; {overall}  [{id}]",
        "  {case}: {ended}; fence: {fence}; outcome: {outcome}; {signature}; {overall}  [{id}]",
    ),
    "demo.overall.exception": Text("por revisar", "to be judged"),
    "demo.overall.unverified": Text("ley no evaluada", "law not evaluated"),
    "demo.signed": Text("firma verificada aquí", "signature verified here"),
    "demo.unsigned": Text("FIRMA NO VERIFICADA", "SIGNATURE NOT VERIFIED"),
    "demo.balanced": Text("La jornada cuadra.", "The day balances."),
    "demo.not_balanced": Text("LA JORNADA NO CUADRA.", "THE DAY DOES NOT BALANCE."),
}
