"""A promise to pay: of all or a part, how much, by when. One instalment; then back to saving."""

from handheld import forget
from handheld.ui import BIG, CHOICE, TAP, TEXT, TITLE

_DIGITS = 5  # of the amount, in whole units of the currency
_DAYS = (1, 3, 7, 15, 30)


class Page:
    """For `outcome`, chosen on the page of questions, which skipped those in `skipped`."""

    def __init__(self, ui, _came, outcome, skipped):
        self.ui = ui
        self.outcome, self.skipped = outcome, skipped
        visits = ui.app.visits
        case = visits.cases and visits.cases.get(visits.case_id)
        self.currency = case["currency"] if case else ""
        self.kind = 0  # 1 settles all, 2 a part: as in ronda_protocol.visit
        self.amount = None
        self.digits = [0] * _DIGITS
        self.at = 0
        self.days = []
        if not self.currency:
            ui.hint("no.no_case")

    def rows(self):
        ui = self.ui
        rows = [(TITLE, ui.t("answer." + self.outcome))]
        if not self.kind:
            rows.append((TEXT, ui.t("promise.how_much")))
            if self.currency:
                rows.append((CHOICE, ui.t("promise.all"), 1, False))
                rows.append((CHOICE, ui.t("promise.part"), 2, False))
            rows.append((CHOICE, ui.t("promise.back"), 0, False))
        elif self.amount is None:
            shown = "".join([str(digit) for digit in self.digits])
            before, digit, after = shown[: self.at], shown[self.at], shown[self.at + 1 :]
            rows.append((BIG, "%s %s[%s]%s" % (self.currency, before, digit, after)))
            rows.append((TEXT, ui.t("promise.dial")))
        else:
            rows.append((BIG, "%s %d" % (self.currency, self.amount)))
            rows.append((TEXT, ui.t("promise.until")))
            for n, day in self._offered():
                text = "%02d/%02d" % (day % 100, day // 100 % 100)
                rows.append((CHOICE, ui.t("promise.in_days", text, n), day, False))
            rows.append((CHOICE, ui.t("promise.back"), 0, False))
        return rows

    def _offered(self):
        """(days from today, day as yyyymmdd) that a promise may fall on."""
        if not self.days:
            from handheld import dates

            app = self.ui.app
            today = ((app.clock.utc() or 0) + app.offset_min * 60) // 86400
            for n in _DAYS:
                year, month, day = dates.civil_from_days(today + n)
                self.days.append((n, year * 10000 + month * 100 + day))
            dates = None
            forget("handheld.dates")
        return self.days

    def key(self, name, how):
        """While the amount is dialled the keys turn digits; None when it is not."""
        if not self.kind or self.amount is not None:
            return False
        digits = self.digits
        if name == "up" or name == "ok" and how == TAP and len(self.ui.board.keys.names) == 1:
            digits[self.at] = (digits[self.at] + 1) % 10
        elif name == "down":
            digits[self.at] = (digits[self.at] - 1) % 10
        elif name == "left":
            self.at = max(0, self.at - 1)
        elif name in "0123456789":
            digits[self.at] = int(name)
            self._on()
        elif name in ("ok", "right"):
            self._on()
        return True

    def _on(self):
        """On to the next digit; after the last the amount stands, unless it is nothing."""
        self.at += 1
        if self.at == _DIGITS:
            self.at = 0
            amount = 0
            for digit in self.digits:
                amount = amount * 10 + digit
            if amount:
                self.amount = amount
                self.ui.pick(0)
            else:
                self.ui.hint("promise.nothing")

    def back(self):
        return "go", "ask", ("", self.skipped)

    def act(self, action):
        if not action:
            return self.back()
        if not self.kind:
            self.kind = action
            return None
        promise = {
            "currency": self.currency,
            "kind": self.kind,
            "pairs": [[self.amount * 100, action]],
            "who": self.ui.app.visits.answers.get("quien"),
            "limits": 0,
        }
        return "go", "ask", (self.outcome, self.skipped, promise)
