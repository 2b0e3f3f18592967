# mklove takes the compiler as an option; from CC= it has been seen to build for the wrong machine. LZ4 is the copy that
# librdkafka carries; without libzstd-dev it silently leaves zstd out, hence the check. Threads are pthreads: a program under
# ThreadSanitizer crashes in those made by thrd_create, which gcc 12's does not know.
./configure --prefix="$OUT" --cc="$CC" --CFLAGS="$CFLAGS" --disable-gssapi --disable-curl --disable-debug-symbols \
    --disable-lz4-ext --disable-c11threads --no-cache >vg-log 2>&1 || { tail -n 40 vg-log; exit 1; }
for feature in SSL ZLIB ZSTD; do
    grep -q "define WITH_$feature 1" config.h || { echo "librdkafka: built without $feature (see cross/setup)"; exit 1; }
done
make -s -j"$JOBS" -C src librdkafka.a
install -D -m 644 src/librdkafka.a "$OUT/lib/librdkafka.a"
install -D -m 644 src/rdkafka.h "$OUT/include/librdkafka/rdkafka.h"
install -D -m 644 src/rdkafka_mock.h "$OUT/include/librdkafka/rdkafka_mock.h"
install -D -m 644 LICENSE "$OUT/share/licences/librdkafka"
