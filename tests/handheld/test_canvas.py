"""Letters and boxes land where they should, in two inks or four, whole or in strips."""

from handheld import canvas

HEAP = "192k"


def mono():
    buffer = bytearray(1024)
    return buffer, canvas.Canvas(buffer, 128, 64, 64, True)


def lit(buffer, x, y):
    return buffer[x + (y >> 3) * 128] >> (y & 7) & 1


def test_a_letter_is_where_it_is_put():
    buffer, c = mono()
    c.clear()
    assert c.text(10, 20, "I") == 14  # three columns and a gap
    column = [lit(buffer, 11, y) for y in range(18, 29)]
    assert column == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert lit(buffer, 10, 20) and lit(buffer, 10, 26) and not lit(buffer, 10, 23)


def test_twice_as_large_is_each_pixel_four_times():
    one, c = mono()
    c.clear()
    c.text(0, 0, "ñQ")
    two, d = mono()
    d.clear()
    d.text(0, 0, "ñQ", 2)
    for y in range(16):
        for x in range(30):
            assert lit(two, x, y) == lit(one, x // 2, y // 2), (x, y)


def test_reversed_is_the_other_way_round():
    one, c = mono()
    c.clear()
    c.text(0, 0, "Ó")
    two, d = mono()
    d.clear(canvas.INK)
    d.text(0, 0, "Ó", 1, canvas.PAPER, canvas.INK)
    assert bytes(one) == bytes([b ^ 255 for b in two])


def test_a_letter_nobody_drew_is_a_question_mark():
    assert canvas.width("\u4e2d") == canvas.width("?")
    one, c = mono()
    two, d = mono()
    c.text(0, 0, "\u4e2d\n")
    d.text(0, 0, "??")
    assert one == two


def test_strips_make_the_same_picture():
    whole = bytearray(320 * 240 // 4)
    c = canvas.Canvas(whole, 320, 240, 240, False)
    strip = bytearray(320 * 48 // 4)
    d = canvas.Canvas(strip, 320, 240, 48, False)
    c.clear()
    draw(c)
    for top in range(0, 240, 48):
        d.top = top
        d.clear()
        draw(d)
        start = top * 320 // 4
        assert whole[start : start + len(strip)] == strip, top


def draw(c):
    c.text(3, 40, "¿Qué pasó?", 2, canvas.ACCENT)
    c.text(3, 90, "47 m", 4, canvas.ALERT)
    c.box(200, 30, 60, 100, canvas.INK, False)
    c.arrow(210, 130, 60, 3, canvas.ACCENT)


def test_lines_fit_and_lose_nothing():
    text = "Estás fuera del cerco: 47 m hacia el noreste. Acérquese."
    lines = canvas.wrap(text, 126)
    assert " ".join(lines) == text and 1 < len(lines) < 5
    assert all(canvas.width(line) <= 126 for line in lines)
    cut = canvas.wrap("otorrinolaringologicamente", 40)
    assert "".join(cut) == "otorrinolaringologicamente"
    assert all(canvas.width(line) <= 40 for line in cut)
    assert canvas.wrap("", 40) == [""]


def test_no_line_that_is_wrapped_is_wider_than_its_room():
    text = "Memoria llena: busque red para enviar. Pase la noche a la vista de una antena"
    for room in range(30, 320):
        lines = canvas.wrap(text, room)
        assert max([canvas.width(line) for line in lines]) <= room
    assert canvas.wrap("a b", canvas.width("a b")) == ["a b"]
