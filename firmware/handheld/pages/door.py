"""The way to one door, and the check-in: metres and an arrow, or why it does not open."""

from ronda_protocol import fence

from handheld.ui import BIG, CHOICE, TEXT, TITLE, WAY


class Page:
    """`case_id` is the case whose place is sought."""

    def __init__(self, ui, came, case_id):
        self.ui = ui
        self.case_id = case_id
        self.case = ui.app.visits.cases.get(case_id)
        self.came = None
        if came and came["code"] == "portal_registered":
            ui.hint("yes.portal_registered")
        elif came:
            self.came = came

    def rows(self):
        ui = self.ui
        rows = [(TITLE, self.case_id)]
        if self.case is None:
            return rows + [(TEXT, ui.t("no.no_case")), (CHOICE, ui.t("door.back"), "back", False)]
        way = self._way()
        rows.append(way)
        came = self.came
        if came and way[0] == BIG and came["code"] == "refused_outside":
            came = self.came = None  # it was true where it was said
        if came:
            rows.append((TEXT, self._told(came)))
        if came and came["code"] == "ask_unconfirmed":
            rows.append((CHOICE, ui.t("door.acknowledge"), "acknowledge", True))
        else:
            rows.append((CHOICE, ui.t("door.check_in"), "check_in", False))
        rows.append((CHOICE, ui.t("door.portal"), "portal", False))
        rows.append((CHOICE, ui.t("door.back"), "back", False))
        return rows

    def _way(self):
        """Metres to the edge and where the centre is; the accuracy where that is all there is."""
        ui = self.ui
        fixes = fence.of_entries(ui.app.gnss.window())
        try:
            plane = fence.Dwell(self.case["place"][2:]).plane
            verdict = plane.verdict(fixes, ui.board.ident.uere_dm)
        except fence.FenceError:
            return (TEXT, ui.t("no.bad_place"))
        if verdict[0] == fence.INSIDE:
            return (BIG, ui.t("door.here"))
        if verdict[1] is None:
            return (TEXT, ui.t("door.no_fix"))
        if verdict[0] == fence.UNCERTAIN:
            return (TEXT, ui.t("door.unsure", verdict[2] // 10))
        north, east = fence.offset_dm(plane.center, fixes[-1][0], fixes[-1][1])
        return (WAY, fence.compass8(-north, -east), "%d m" % (-(-verdict[1] // 10)))

    def _told(self, came):
        ui, code = self.ui, came["code"]
        if code == "refused_outside":
            return ui.t("no." + code, came["metres"], ui.t("way.%d" % came["direction"]))
        if code in ("waiting_fix", "waiting_dwell"):
            return ui.t("no." + code, came["remaining_s"])
        return ui.t("no." + code)

    def back(self):
        return "go", "round", (self.case_id,)

    def act(self, action):
        if action == "back":
            return self.back()
        if action == "portal":
            return "do", "register_portal", {"case_id": self.case_id}, "door", (self.case_id,)
        wanted = {"case_id": self.case_id, "acknowledge": action == "acknowledge"}
        return "do", "check_in", wanted, "ask", ()
