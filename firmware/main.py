"""Starts the handheld: the board is built by its own file, everything else is handed to it."""

import board
from handheld import app

app.run(board.make())
