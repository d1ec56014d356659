"""Before a shift: what a gestor should know of the handheld, and the choice to begin."""

from handheld.ui import BIG, CHOICE, TEXT


class Page:
    """Shown at boot and after a shift; a shift that a restart broke off goes on by itself."""

    def __init__(self, ui, came):
        self.ui = ui
        if came and not came["ok"]:
            ui.hint("no." + came["code"])

    def rows(self):
        ui = self.ui
        app = ui.app
        rows = [(BIG, ui.t("start.title")), (TEXT, app.board.ident.device_id)]
        if app.log.full:
            rows.append((TEXT, ui.t("start.full")))
        if app.visits.cases is None:
            rows.append((TEXT, ui.t("start.no_cases")))
        unsent = app.log.unsent()
        if unsent:
            rows.append((TEXT, ui.t("start.unsent", unsent)))
        rows.append((CHOICE, ui.t("start.begin"), "begin", False))
        rows.append((CHOICE, ui.t("start.language"), "language", False))
        return rows

    def tick(self):
        return ("go", "round", ()) if self.ui.app.visits.in_shift else None

    def act(self, action):
        ui = self.ui
        if action == "begin":
            return "do", "shift_start", {}, "round", ()
        language = "en" if ui.texts.language == "es" else "es"
        ui.texts.use(language)
        ui.board.nv.set("lang", language.encode())
        return None
