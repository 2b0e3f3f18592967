vg_cmake . -DBUILD_SHARED_LIBS=OFF -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF
install -D -m 644 COPYING "$OUT/share/licences/cmocka"
