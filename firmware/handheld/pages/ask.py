"""An open visit: one question at a time, then how it ended, and closing it."""

from handheld import forget
from handheld.ui import CHOICE, TEXT, TITLE


class Page:
    """Goes on where the answers on flash end. Questions and outcomes are the questionnaire's."""

    def __init__(self, ui, came, outcome="", skipped=(), promise=None):  # noqa: PLR0917
        self.ui = ui
        self.outcome = outcome
        self.promise = promise
        self.skipped = list(skipped)
        self.no_signal = came and came["code"] == "ask_portal_fix"
        self.question = None  # [id, kind, options, required, relevant on, its values]
        self.outcomes = self.promised = ()
        self.debtor = False
        if came and not came["ok"] and not self.no_signal:
            ui.hint("no." + came["code"])
        self._next()

    def _next(self):
        """The next question that applies and has no answer; None: the outcome, or all is said."""
        from handheld import questionnaire

        answers, found = self.ui.app.visits.answers, None
        for question in questionnaire.questions():
            name, kind, _, _, on, values = question
            given = self.outcome if on == "outcome" else answers.get(on)
            told = name in answers or name in self.skipped
            if kind == "one" and not told and (not on or given in values):
                found = found or question
        self.question = found
        self.promised = questionnaire.PROMISED.split()
        self.debtor = answers.get("quien") in questionnaire.DEBTORS.split()
        self.outcomes = () if found or self.outcome else questionnaire.OUTCOMES.split()
        questionnaire = None
        forget("handheld.questionnaire")
        self.ui.pick(0)

    def rows(self):
        ui = self.ui
        rows = [(TITLE, ui.app.visits.case_id or "")]
        if self.question:
            name, _, options, required, _, _ = self.question
            rows.append((TEXT, ui.t("ask." + name)))
            for option in options:
                rows.append((CHOICE, ui.t("answer." + option), option, False))
            if not required:
                rows.append((CHOICE, ui.t("ask.skip"), None, False))
        elif self.outcomes:
            rows.append((TEXT, ui.t("ask.outcome")))
            for option in self.outcomes:
                if option not in self.promised or self.debtor:
                    rows.append((CHOICE, ui.t("answer." + option), option, False))
        else:
            rows.append((TEXT, ui.t("answer." + self.outcome)))
            if self.promise:
                amount, day = self.promise["pairs"][0]
                when = "%02d/%02d" % (day % 100, day // 100 % 100)
                currency = self.promise["currency"]
                rows.append((TEXT, ui.t("ask.promised", currency, amount // 100, when)))
            if self.no_signal:
                rows.append((TEXT, ui.t("ask.no_signal")))
            rows.append((CHOICE, ui.t("ask.save"), "save", True))
            rows.append((CHOICE, ui.t("ask.again"), "again", False))
        return rows

    def act(self, action):
        here = (self.outcome, self.skipped, self.promise)
        if self.question:
            name = self.question[0]
            if action is not None:
                return "do", "answer", {"id": name, "value": action}, "ask", here
            self.skipped.append(name)
        elif self.outcomes:
            if action in self.promised:
                return "go", "promise", (action, self.skipped)
            self.outcome = action
        elif action == "again":
            self.outcome, self.skipped, self.promise = "", [], None
        else:
            wanted = {"outcome": self.outcome, "promise": self.promise}
            if self.no_signal:
                wanted["no_signal"] = True
            return "do", "close", wanted, "saved", (self.ui.app.visits.case_id,)
        self._next()
        return None
