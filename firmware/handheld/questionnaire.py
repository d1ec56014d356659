"""The built-in questionnaire, as data, and the check of a visit's answers against it.

Who answered, how it ended, what was promised: enough to work before a form pack is there. It asks
nobody's name and has no free text. Shows nothing: screens are made from the same table.
"""

import hashlib

from ronda_protocol import cbor, visit

FORM_ID = "ronda-basico-1"

# A line a question: id | one (of the options) or day (yyyymmdd) | options | required: ! |
# relevant always, or only when that answer (or the outcome) | is one of these. Kept as one text:
# as lists it would take four times the heap.
QUESTIONS = (
    "quien|one|titular codeudor garante tercero menor nadie no_dice|!||\n"
    "tipologia|one|quiere_puede quiere_no_puede puede_no_quiere no_quiere_no_puede|"
    "|quien|titular codeudor garante\n"
    "disputa|one|monto no_reconoce reclamo otra|!|outcome|disputa\n"
    "pagado_el|day|||outcome|ya_pago\n"
    "volver_el|day||||"
)

OUTCOMES = (
    "ausente mudado no_vive_aqui fallecido desocupado direccion_inexistente sin_acceso"
    " zona_insegura se_niega pide_no_volver tiene_abogado disputa ya_pago sin_acuerdo"
    " promesa convenio"
)

# Outcomes that need a promise, and who can give one.
PROMISED = "promesa convenio"
DEBTORS = "titular codeudor garante"


def form():
    """[id, first 8 bytes of the SHA-256 of its canonical CBOR]: what a visit names."""
    table = cbor.encode([FORM_ID, QUESTIONS, OUTCOMES, PROMISED, DEBTORS])
    return [FORM_ID, hashlib.sha256(table).digest()[:8]]


def questions():
    """Every question: [id, kind, options, required, relevant on, its values]."""
    found = []
    for line in QUESTIONS.split("\n"):
        name, kind, options, required, on, values = line.split("|")
        found.append([name, kind, options.split(), required, on, values.split()])
    return found


def problem(question_id, value):
    """None, or the code of what is wrong with one answer: unknown:id, value:id."""
    for question in questions():
        if question[0] == question_id:
            ok = value in question[2] if question[1] == "one" else visit.is_day(value)
            return None if ok else "value:" + question_id
    return "unknown:%s" % question_id


def validate(answers, outcome, promise):
    """Codes of everything wrong, in order; empty when the visit may be closed.

    outcome; unknown:id, value:id, required:id, irrelevant:id; promise_missing,
    promise_unexpected, promise_who, promise (its fields).
    """
    found = [] if outcome in OUTCOMES.split() else ["outcome"]
    for name in sorted(answers):
        code = problem(name, answers[name])
        if code:
            found.append(code)
    for name, _, _, required, on, values in questions():
        asked = not on or (outcome if on == "outcome" else answers.get(on)) in values
        if name in answers and not asked:
            found.append("irrelevant:" + name)
        elif asked and required and name not in answers:
            found.append("required:" + name)
    return found + _promise_problems(answers, outcome, promise)


def _promise_problems(answers, outcome, promise):
    promised = outcome in PROMISED.split()
    if promise is None:
        return ["promise_missing"] if promised else []
    if not promised:
        return ["promise_unexpected"]
    try:
        visit.encode_promise(bytes(16), promise)
    except (ValueError, AttributeError):
        return ["promise"]
    who = promise["who"]
    return [] if who in DEBTORS.split() and who == answers.get("quien") else ["promise_who"]
