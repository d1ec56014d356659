"""The round: today's doors in order, those done marked; where a shift ends."""

from handheld.ui import CHOICE, PART, TEXT, TITLE


class Page:
    """`at` puts the mark on a case. An open visit is gone on with instead."""

    def __init__(self, ui, came, at=None):
        self.ui = ui
        done, cases = ui.app.visits.done, ui.app.visits.cases
        self.ids = cases.ids() if cases else []
        pending = [case_id for case_id in self.ids if case_id not in done]
        if at not in self.ids:
            at = pending[0] if pending else None
        if at:
            ui.pick(self.ids.index(at))
        if came and "code" in came and came["code"][:6] == "portal":
            ui.hint(("yes." if came["ok"] else "no.") + came["code"])

    def rows(self):
        ui, done = self.ui, self.ui.app.visits.done
        rows = [(TITLE, ui.t("round.title", len(done), len(self.ids)))]
        if ui.app.log.full:
            rows.append((TEXT, ui.t("no.storage_full")))
        if self.ids:
            rows.append((PART, len(done), len(self.ids)))
        else:
            rows.append((TEXT, ui.t("round.empty")))
        for case_id in self.ids:
            rows.append((CHOICE, done.get(case_id, "○") + " " + case_id, case_id, False))
        rows.append((CHOICE, ui.t("round.portal"), "", False))
        rows.append((CHOICE, ui.t("round.end"), None, True))
        return rows

    def tick(self):
        visits = self.ui.app.visits
        if visits.pending:
            return "go", "again", ()
        return ("go", "ask", ()) if visits.case_id else None

    def act(self, action):
        if action:
            return "go", "door", (action,)
        if action is None:
            return "go", "day", ()
        return "do", "register_portal", {}, "round", ()
