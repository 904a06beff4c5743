"""Damage as files suffer it: for tests that nothing but a clear complaint comes of it."""

from hypothesis import strategies as st


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a few bytes changed, left out, put in or said twice, or with its end cut off."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(damaged) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "remove", "insert", "copy", "byte"]))
        if kind == "flip" and damaged:
            damaged[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and damaged:
            damaged[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == "cut":
            del damaged[at:]
        elif kind == "remove":
            del damaged[at : at + draw(st.integers(1, 20))]
        elif kind == "insert":
            damaged[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            damaged[at:at] = damaged[at : at + draw(st.integers(1, 60))]
    return bytes(damaged)
