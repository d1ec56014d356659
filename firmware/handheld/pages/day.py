"""The end of the day: what the gateway has received, what is missing, and ending the shift."""

from handheld.ui import BIG, CHOICE, PART, TEXT


class Page:
    """Before the shift is ended it asks; after that it counts what is received until all is."""

    def __init__(self, ui, came):
        self.ui = ui
        self.most = 1
        if came and not came["ok"]:
            ui.hint("no." + came["code"])

    def rows(self):
        ui = self.ui
        log = ui.app.log
        if ui.app.visits.in_shift:
            return [
                (BIG, ui.t("day.title")),
                (TEXT, ui.t("day.sure", len(ui.app.visits.done))),
                (CHOICE, ui.t("day.back"), "back", False),
                (CHOICE, ui.t("day.end"), "end", True),
            ]
        unsent = log.unsent()
        self.most = max(self.most, unsent)
        rows = [(BIG, ui.t("day.ended"))]
        if unsent:
            rows.append((PART, self.most - unsent, self.most))
            rows.append((TEXT, ui.t("day.waits", unsent)))
        else:
            rows.append((TEXT, ui.t("day.all")))
        rows.append((CHOICE, ui.t("day.done"), "start", False))
        return rows

    def back(self):
        return "go", "round" if self.ui.app.visits.in_shift else "start", ()

    def act(self, action):
        if action == "end":
            return "do", "shift_end", {}, "day", ()
        return self.back()
