# The options live in cross/mbedtls/vigia_mbedtls_config.h. They are appended to Mbed TLS's own header, so that libcoap and our
# code see the same configuration without a definition on every compiler line.
install -m 644 "$CROSS/mbedtls/vigia_mbedtls_config.h" include/mbedtls/vigia_mbedtls_config.h
printf '\n#include "mbedtls/vigia_mbedtls_config.h"\n' >> include/mbedtls/mbedtls_config.h

vg_cmake . -DENABLE_PROGRAMS=OFF -DENABLE_TESTING=OFF -DUSE_SHARED_MBEDTLS_LIBRARY=OFF -DUSE_STATIC_MBEDTLS_LIBRARY=ON \
    -DMBEDTLS_FATAL_WARNINGS=OFF
install -D -m 644 LICENSE "$OUT/share/licences/mbedtls"
