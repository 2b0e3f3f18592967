# Only what works in memory: no FILE printers, no JSON conversion.
objects=
for unit in cborerrorstrings cborencoder cborencoder_close_container_checked cborencoder_float cborparser cborparser_dup_string \
    cborparser_float cborvalidation; do
    $CC $CFLAGS -Isrc -c "src/$unit.c" -o "$unit.o"
    objects="$objects $unit.o"
done
vg_archive libtinycbor.a $objects
for header in cbor.h tinycbor-version.h; do
    install -D -m 644 "src/$header" "$OUT/include/tinycbor/$header"
done
install -D -m 644 LICENSE "$OUT/share/licences/tinycbor"
