"""The pages of the screen, each a module with a class Page, loaded for its moment (see ui).

Page(ui, came, *args): `came` is the answer of the intent that led here (or was refused here), or
None. rows() gives what is there. act(action) does a choice; where a page has them, back() answers
the key to the left, tick() runs once a second, and key(name, how) says whether it took the key
for itself. Each of the others gives a wish or None: ("go", page, args) or
("do", intent, its args, page, args) to show the page once the intent is done. No words in pages:
codes of firmware/texts.toml.
"""
