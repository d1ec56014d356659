"""The handheld's application. It never constructs hardware: it is handed a Board."""
