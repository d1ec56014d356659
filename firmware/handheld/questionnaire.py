"""The built-in questionnaire, as data, and the check of a visit's answers against it.

Who answered, how it ended, what was promised: enough to work before a form pack is there. It asks
nobody's name and has no free text. Shows nothing: screens are made from the same table.
"""

import hashlib

from ronda_protocol import cbor, visit

FORM_ID = "ronda-basico-1"

DEBTORS = ["titular", "codeudor", "garante"]

# id, kind (one: of the options; day: yyyymmdd), options, required, relevant: always, or only
# when that answer (or the outcome) is one of those.
QUESTIONS = [
    ["quien", "one", DEBTORS + ["tercero", "menor", "nadie", "no_dice"], True, None],
    [
        "tipologia",
        "one",
        ["quiere_puede", "quiere_no_puede", "puede_no_quiere", "no_quiere_no_puede"],
        False,
        ["quien", DEBTORS],
    ],
    [
        "disputa",
        "one",
        ["monto", "no_reconoce", "reclamo", "otra"],
        True,
        ["outcome", ["disputa"]],
    ],
    ["pagado_el", "day", None, False, ["outcome", ["ya_pago"]]],
    ["volver_el", "day", None, False, None],
]

OUTCOMES = (
    "ausente mudado no_vive_aqui fallecido desocupado direccion_inexistente sin_acceso"
    " zona_insegura se_niega pide_no_volver tiene_abogado disputa ya_pago sin_acuerdo"
    " promesa convenio"
).split()

# Outcomes that need a promise; only a debtor can give one.
PROMISED = ["promesa", "convenio"]


def form():
    """[id, first 8 bytes of the SHA-256 of its canonical CBOR]: what a visit names."""
    table = cbor.encode([FORM_ID, QUESTIONS, OUTCOMES, PROMISED, DEBTORS])
    return [FORM_ID, hashlib.sha256(table).digest()[:8]]


def problem(question_id, value):
    """None, or the code of what is wrong with one answer: unknown:id, value:id."""
    for name, kind, options, _required, _relevant in QUESTIONS:
        if name == question_id:
            ok = value in options if kind == "one" else visit.is_day(value)
            return None if ok else "value:" + name
    return "unknown:%s" % question_id


def validate(answers, outcome, promise):
    """Codes of everything wrong, in order; empty when the visit may be closed.

    outcome; unknown:id, value:id, required:id, irrelevant:id; promise_missing,
    promise_unexpected, promise_who, promise (its fields).
    """
    found = [] if outcome in OUTCOMES else ["outcome"]
    for name in sorted(answers):
        code = problem(name, answers[name])
        if code:
            found.append(code)
    for name, _kind, _options, required, relevant in QUESTIONS:
        asked = True
        if relevant:
            on = relevant[0]
            asked = (outcome if on == "outcome" else answers.get(on)) in relevant[1]
        if name in answers and not asked:
            found.append("irrelevant:" + name)
        elif asked and required and name not in answers:
            found.append("required:" + name)
    return found + _promise_problems(answers, outcome, promise)


def _promise_problems(answers, outcome, promise):
    if promise is None:
        return ["promise_missing"] if outcome in PROMISED else []
    if outcome not in PROMISED:
        return ["promise_unexpected"]
    try:
        visit.encode_promise(bytes(16), promise)
    except (ValueError, AttributeError):
        return ["promise"]
    who = promise["who"]
    return [] if who in DEBTORS and who == answers.get("quien") else ["promise_who"]
