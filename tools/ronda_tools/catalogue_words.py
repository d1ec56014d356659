"""What detector flags, verdicts' reasons and refused corrections mean, Spanish and English; data
only.

A flag is what the handheld found not to fit in the receiver's own sentences (WIRE.md, Detector
flags); no one of them proves anything.
"""

from ronda_tools.texts import Text

TEXTS = {
    "word.flag.frozen": Text(
        "congelada (ni la última cifra cambió en 60 s)",
        "frozen (not one digit changed in 60 s)",
    ),
    "word.flag.time": Text(
        "hora atrás (la hora del receptor retrocedió o se repitió)",
        "time back (the receiver's time went back or came twice)",
    ),
    "word.flag.clock": Text(
        "reloj (su fecha u hora no puede ser, o dice dos)",
        "clock (its date or time cannot be, or it tells two)",
    ),
    "word.flag.jump": Text(
        "salto (se movió a más de 60 m/s)", "jump (it moved faster than 60 m/s)"
    ),
    "word.flag.motion": Text(
        "movimiento (no se movió como dicen su velocidad y su rumbo)",
        "motion (it did not move as its speed and course say)",
    ),
    "word.flag.altitude": Text(
        "altura (cambió a más de 10 m/s)", "altitude (it changed by more than 10 m/s)"
    ),
    "word.flag.signal": Text(
        "señal (todos los satélites igual de fuertes, o cambiaron a la vez)",
        "signal (all satellites equally strong, or all changed at once)",
    ),
    "word.flag.sky": Text(
        "cielo (un satélite que no existe, bajo el horizonte o no a la vista)",
        "sky (a satellite that does not exist, below the horizon or not in view)",
    ),
    "word.flag.early": Text(
        "temprana (posición a los pocos segundos de no saber nada)",
        "early (a fix a few seconds after knowing nothing)",
    ),
    "word.flag.rate": Text(
        "ritmo (el receptor cambió de ritmo: otro módulo u otro ajuste)",
        "rate (the receiver's pace changed: another module or setting)",
    ),
    "word.flag.garbage": Text(
        "basura (llegaron bytes que no son del receptor)",
        "garbage (bytes came that are no receiver's)",
    ),
    "word.flag.estimated": Text(
        "estimada (el propio receptor la dice estimada o simulada)",
        "estimated (the receiver itself calls it estimated or simulated)",
    ),
    "word.flag.other": Text(
        "{name} (marca que esta versión no conoce)", "{name} (a flag this version does not know)"
    ),
    "word.flag.share": Text("{flag} en {count} de {all}", "{flag} in {count} of {all}"),
    "show.flags": Text(
        "Marcas del receptor, {moment}: {flags}.", "Receiver's flags, {moment}: {flags}."
    ),
    "show.moment.check_in": Text("al abrir", "at check-in"),
    "show.moment.portal": Text("en el portal", "at the entrance"),
    "show.moment.close": Text("al cerrar", "at close"),
    "show.moment.resumed": Text("al seguir", "when it went on"),
    "show.moment.track": Text("en el recorrido", "on the track"),
    "feed.flags": Text("marcas del receptor: {flags}", "receiver's flags: {flags}"),
    "feed.because": Text("{overall} ({reasons})", "{overall} ({reasons})"),
    "feed.refused_for": Text("no vale: {reasons}", "does not hold: {reasons}"),
    "word.why.chain_gap": Text("faltan segmentos antes", "segments before it are missing"),
    "word.why.chain_lost": Text(
        "el equipo declaró perdidos segmentos anteriores",
        "the handheld declared segments before it lost",
    ),
    "word.why.chain_broken": Text("la cadena no encaja", "the chain does not fit"),
    "word.why.chain_forked": Text(
        "hay dos contenidos firmados con un número", "two contents were signed under one number"
    ),
    "word.why.refused_at_door": Text("rechazada en la puerta", "refused at the door"),
    "word.why.interrupted": Text("nunca se cerró", "never closed"),
    "word.why.resumed": Text("se siguió tras un corte de energía", "went on after the power went"),
    "word.why.location_unconfirmed": Text("ubicación no confirmada", "location unconfirmed"),
    "word.why.address_to_confirm": Text("dirección por confirmar", "address to confirm"),
    "word.why.portal": Text("abierta por el portal", "opened by the entrance"),
    "word.why.portal_no_signal": Text(
        "cerrada sin señal en el portal", "closed without a signal at the entrance"
    ),
    "word.why.portal_close_outside": Text(
        "cerrada lejos del portal", "closed away from the entrance"
    ),
    "word.why.fence_uncertain": Text("no se sabe si dentro", "cannot tell whether inside"),
    "word.why.fixes_disqualified": Text(
        "posiciones congeladas, descartadas", "frozen fixes, set aside"
    ),
    "word.why.fixes_stale": Text("posiciones viejas", "old fixes"),
    "word.why.dwell_short": Text("permanencia corta", "a short stay"),
    "word.why.dwell_mismatch": Text(
        "la permanencia no es la calculada aquí", "the stay is not the one computed here"
    ),
    "word.why.verdict_mismatch": Text(
        "el veredicto no es el calculado aquí", "the verdict is not the one computed here"
    ),
    "word.why.policy_mismatch": Text(
        "se abrió como la política no permite", "opened as the policy does not allow"
    ),
    "word.why.fence_opinion_differs": Text(
        "la distancia geodésica es otra", "the geodesic distance is another"
    ),
    "word.why.bad_fence": Text("el lugar no sirve como cerco", "the place is no fence"),
    "word.why.law_not_evaluated": Text("ley no evaluada", "law not evaluated"),
    "word.why.corrected": Text("el gestor la corrigió", "its gestor corrected it"),
    "word.why.correction_refused": Text(
        "hay una corrección que no vale", "a correction does not hold"
    ),
    "word.refused.other_gestor": Text("es de otro gestor", "it is another gestor's"),
    "word.refused.before_visit": Text("es anterior a la visita", "it is older than the visit"),
    "word.refused.after_shift": Text("el turno ya había terminado", "the shift was over"),
    "word.refused.not_closed": Text("la visita no se cerró", "the visit was not closed"),
    "word.refused.not_a_visit": Text("no nombra una visita", "it names no visit"),
}
"""Code -> sentence."""
