# The options are written into the installed header too, so that the library and its users cannot disagree:
# the handler gets a line number and hears of every section; no heap; a value never runs on to the next line.
cat > options.h <<'END'
#define INI_HANDLER_LINENO 1
#define INI_CALL_HANDLER_ON_NEW_SECTION 1
#define INI_ALLOW_MULTILINE 0
#define INI_USE_STACK 1
#define INI_MAX_LINE 1024
END
cat options.h ini.h > ini_with_options.h
$CC $CFLAGS -include options.h -c ini.c -o ini.o
vg_archive libinih.a ini.o
install -D -m 644 ini_with_options.h "$OUT/include/ini.h"
install -D -m 644 LICENSE.txt "$OUT/share/licences/inih"
