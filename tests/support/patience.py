"""How long a test waits for what must come: longer in a build with sanitizers, whose programs are several times slower.

CMake sets VIGIA_TEST_PATIENCE for the tests of such a build (cmake/vigia.cmake), and C tests have it as a macro; it is 1 in every other
build. It goes with what would otherwise wait for ever, where coming late is no fault. It does not go with what the product promises in
seconds, nor with the times of a story that a test tells."""
import os


def factor(text):
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 100):
        raise SystemExit(f"VIGIA_TEST_PATIENCE is '{text}', accepted: 1 to 100")
    return int(text)


PATIENCE = factor(os.environ.get("VIGIA_TEST_PATIENCE", "1"))
