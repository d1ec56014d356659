"""A visit is saved: its short id, and that it is safe though nothing has been sent yet."""

from handheld.ui import BIG, CHOICE, TEXT


class Page:
    """Of the visit to `case_id`; `came` is the answer of its closing."""

    def __init__(self, ui, came, case_id):
        self.ui = ui
        _, log, seq = came["visit_id"].split("/")
        self.short = log[:4] + "-" + seq
        ui.app.visits.done[case_id] = "✓"

    def rows(self):
        ui = self.ui
        return [
            (BIG, ui.t("saved.title")),
            (TEXT, ui.t("saved.id", self.short)),
            (TEXT, ui.t("saved.safe")),
            (CHOICE, ui.t("saved.next"), "next", False),
        ]

    def back(self):
        return "go", "round", ()

    def act(self, _action):
        return self.back()
