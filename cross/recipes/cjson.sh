# 64 levels are far more than any record of ours has; the default of 1,000 is a stack to fill.
$CC $CFLAGS -DCJSON_HIDE_SYMBOLS -DCJSON_NESTING_LIMIT=64 -c cJSON.c -o cJSON.o
vg_archive libcjson.a cJSON.o
install -D -m 644 cJSON.h "$OUT/include/cjson/cJSON.h"
install -D -m 644 LICENSE "$OUT/share/licences/cjson"
