# Serves metrics and health on loopback: no TLS, no authentication, no form parsing, no upgrade.
./configure --host="$TRIPLET" --prefix="$OUT" --libdir="$OUT/lib" --disable-shared --enable-static --disable-https --disable-doc --disable-examples \
    --disable-tools --disable-curl --disable-bauth --disable-dauth --disable-postprocessor --disable-httpupgrade --disable-dependency-tracking \
    CC="$CC" AR="$AR" RANLIB="$RANLIB" CFLAGS="$CFLAGS" >configure.log 2>&1 || { tail -n 40 configure.log; exit 1; }
make -s -j"$JOBS" -C src/microhttpd install
make -s -C src/include install
install -D -m 644 COPYING "$OUT/share/licences/microhttpd"
