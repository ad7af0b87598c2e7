"""PNG files as pixels: nothing but Python's own library."""
import struct
import zlib


def pixels(png):
    """Width, height and the rows of an 8-bit PNG without interlacing: RGB or RGBA bytes, filters undone."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert depth == 8 and kind in (2, 6), (depth, kind)
    size = 3 if kind == 2 else 4
    data, at = b"", 8
    while at < len(png):
        length, = struct.unpack(">I", png[at:at + 4])
        if png[at + 4:at + 8] == b"IDAT":
            data += png[at + 8:at + 8 + length]
        at += 12 + length
    data, rows, before = zlib.decompress(data), [], bytearray(width * size)
    for y in range(height):
        start = y * (width * size + 1)
        how, row = data[start], bytearray(data[start + 1:start + 1 + width * size])
        for i in range(len(row) if how else 0):
            left = row[i - size] if i >= size else 0
            up, corner = before[i], before[i - size] if i >= size else 0
            if how == 4:
                p = left + up - corner
                near = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            row[i] = (row[i] + (left, up, (left + up) // 2, near if how == 4 else 0)[how - 1]) & 255
        rows.append(row)
        before = row
    return width, height, size, rows


def colours(picture, box):
    """How many pixels of each colour there are in a box of x, y, width, height."""
    _, _, size, rows = picture
    x, y, width, height = map(int, box)
    found = {}
    for row in rows[y:y + height]:
        for i in range(x, x + width):
            colour = bytes(row[i * size:i * size + 3])
            found[colour] = found.get(colour, 0) + 1
    return found
