"""Starts the handheld: the board is built by its own file, everything else is handed to it."""

import gc

# Before any import: what a module leaves behind is collected while it is still at the heap's end,
# or what stays would lie scattered and no 4 KB would be found in one piece.
gc.threshold(8192)  # type: ignore

import board
from handheld import app

app.run(board.make())
