"""Battery readings into the log. What a voltage means in percent is the board's to say."""

from ronda_protocol import track


class Battery:
    """Reads `board.power` every `minutes`; `note()` does at once what `run()` does in turn."""

    def __init__(self, board, log, minutes=15):
        self._board = board
        self._log = log
        self.ms = minutes * 60000
        self.last = None

    def read(self):
        """[mV, percent or None, source], as a visit's evidence has it; None without a gauge."""
        if self._board.power:
            self.last = list(self._board.power.read())
        return self.last

    def note(self):
        """Read and log: at the start of a shift, too."""
        if self.read():
            self._log.battery(*self.last)

    async def run(self):
        """For ever; a board without a gauge is one event and no more."""
        if not self._board.power:
            self._log.event(track.PART_MISSING, ["power"])
            return
        while True:
            self.note()
            await self._board.sleep_ms(self.ms)
