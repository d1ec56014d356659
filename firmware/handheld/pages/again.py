"""A visit that was open when the power went: go on with it, or have it sealed as interrupted."""

from handheld.ui import CHOICE, TEXT, TITLE


class Page:
    """Shown while one waits, and once more when it was sealed because it could not go on."""

    def __init__(self, ui, came):
        self.ui = ui
        self.came = came

    def rows(self):
        ui, came = self.ui, self.came
        pending = ui.app.visits.pending
        if not pending:
            code = came["code"] if came and not came["ok"] else "interrupted"
            return [(TEXT, ui.t("again." + code)), (CHOICE, ui.t("door.back"), None, False)]
        rows = [(TITLE, pending["fields"]["case_id"]), (TEXT, ui.t("again.open"))]
        if came and not came["ok"] and "remaining_s" in came:
            rows.append((TEXT, ui.t("again.wait", came["remaining_s"])))
        rows.append((CHOICE, ui.t("again.go_on"), True, False))
        rows.append((CHOICE, ui.t("again.seal"), False, True))
        return rows

    def act(self, action):
        if action is None:
            return "go", "round", ()
        return "do", "resume", {"accept": action}, "ask" if action else "again", ()
